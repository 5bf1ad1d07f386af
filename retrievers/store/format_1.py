"""What documents of format 1 hold in another place: nodes of LlamaIndex stand under a key of their metadata."""

from __future__ import annotations

from dataclasses import replace

from retrievers.filters import Filter, parse
from retrievers.filters.language import Combine, Compare
from retrievers.types import Document

NODE = "_node"
SOURCE = f"{NODE}.ref_doc_id"
"""Dotted path of the id of what a node was cut from."""


def moved(document: Document) -> Document:
    """A document of format 1 as later formats have it: source and attachment beside the metadata."""
    kept = document.metadata.get(NODE)
    if not isinstance(kept, dict) or kept.keys() != {"ref_doc_id", "content"}:
        return document
    source, content = kept["ref_doc_id"], kept["content"]
    if not isinstance(source, str) or not isinstance(content, str):
        return document
    metadata = {key: value for key, value in document.metadata.items() if key != NODE}
    return replace(document, metadata=metadata, source=source, attachment={"node": content})


def cut_from(sources: list[str]) -> Filter:
    """A filter on the metadata as they are stored: it keeps the nodes that were cut from some documents."""
    found = parse({SOURCE: {"$in": sources}})
    assert found is not None
    return found


def names_nodes(filter: Filter) -> bool:
    """Whether a filter compares what stands under the key of the nodes, which are no metadata any longer."""
    if isinstance(filter, Compare):
        return filter.key.partition(".")[0] == NODE
    return isinstance(filter, Combine) and any(names_nodes(part) for part in filter.parts)
