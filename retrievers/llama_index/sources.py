"""Nodes by the document that they were cut from, of a collection that looks these up and of one that does not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from retrievers.llama_index.filters import predicate
from retrievers.llama_index.nodes import source_id
from retrievers.types import Document, KeepsSources, SearchableCollection


def cut_from(collection: SearchableCollection, ref_doc_ids: Sequence[str]) -> list[Document]:
    """What was cut from some documents, and those of them that were cut from none."""
    if isinstance(collection, KeepsSources):
        return collection.get_sources(ref_doc_ids)
    return collection.get(filter=_among(ref_doc_ids))


def delete_cut_from(collection: SearchableCollection, ref_doc_id: str) -> None:
    """Remove what cut_from finds."""
    if isinstance(collection, KeepsSources):
        collection.delete_sources([ref_doc_id])
    else:
        collection.delete(filter=_among([ref_doc_id]))


def delete_among(
    collection: SearchableCollection, node_ids: Sequence[str], condition: dict[str, Any]
) -> None:
    """Remove those of some nodes that a filter keeps, as they are when they are removed."""
    if isinstance(collection, KeepsSources):
        collection.delete_among(node_ids, condition)
        return
    named, matches = frozenset(node_ids), predicate(condition)
    collection.delete(filter=lambda document: document.id in named and matches(document))


def _among(ref_doc_ids: Sequence[str]) -> Callable[[Document], bool]:
    wanted = frozenset(ref_doc_ids)
    return lambda document: source_id(document) in wanted
