"""The store: documents and token rows on disk or in memory. FORMAT.md, beside this file, has the bytes."""

from retrievers.store.changes import Entry, Unchanged
from retrievers.store.store import Store
from retrievers.store.verification import Damage, Info
from retrievers.store.view import View

__all__ = ["Damage", "Entry", "Info", "Store", "Unchanged", "View"]
