"""Recall and quality of a collection on Qdrant by number of candidates."""
