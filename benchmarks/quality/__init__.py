"""How well late interaction retrieves, and what each of its settings is worth: python -m benchmarks.quality."""
