"""The collection: encoder, store and search joined into add, delete, get, search, rerank and explain."""

from retrievers.collection.collection import Collection

__all__ = ["Collection"]
