"""Models that come with a Python package, for machines that reach no model hub."""
