"""The command line: `retrievers index`, `search`, `info` and the others."""
