"""Nodes between LlamaIndex and the collection: what is encoded, what is stored, what comes back."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from llama_index.core.constants import DATA_KEY, TYPE_KEY
from llama_index.core.schema import BaseNode, MetadataMode, TextNode
from llama_index.core.storage.docstore.utils import json_to_doc

from retrievers.errors import InvalidInputError
from retrievers.types import NODE_KEY, Document

REF_DOC_ID = f"{NODE_KEY}.ref_doc_id"
"""Where a filter finds the id of the document that a node was cut from; a node of none is its own."""


def _to_document(node: BaseNode, siblings: int) -> Document:
    """A node as the collection keeps it.

    The node's own text stays the document's text, so that spans point into it, and what MetadataMode.EMBED
    adds to it becomes the context. The metadata stays as it is, so that every framework filters by the same
    keys; relationships, templates and the rest go under NODE_KEY, which the LangChain adapter hides, as one
    string of JSON, because the store makes a row of each value that a filter could name.

    Args:
        siblings: how many nodes its document has, itself included: fewer that are stored are a document that was
            cut off on its way in.
    Raises:
        InvalidInputError: the metadata has the key NODE_KEY, or an IndexNode holds an object that is not JSON.
    """
    if NODE_KEY in node.metadata:
        raise InvalidInputError(
            f"node {node.node_id!r} has metadata under {NODE_KEY!r}, where this library keeps the node's "
            "relationships and templates: rename that key."
        )
    return Document(
        text=own_text(node),
        id=node.node_id,
        metadata={**node.metadata, NODE_KEY: {"ref_doc_id": _ref_doc_id(node), "content": _remainder(node)}},
        context=embedded_context(node),
        source=_ref_doc_id(node),
        attachment={"nodes": siblings},
    )


def to_documents(nodes: Sequence[BaseNode]) -> list[Document]:
    """Nodes as the collection keeps them, each told how many of them have its document."""
    counts = Counter(_ref_doc_id(node) for node in nodes)
    return [_to_document(node, counts[_ref_doc_id(node)]) for node in nodes]


def is_whole(documents: Sequence[Document], digest: str) -> bool:
    """Whether stored nodes are all that a document has, and were cut from it as it is now.

    Args:
        documents: those that were cut from it.
        digest: the hash of the document.
    """
    nodes = [to_node(one.id, one.text, one.metadata) for one in documents]
    if {ref_doc_hash(node) for node in nodes} != {digest}:
        return False
    # Nodes of a collection that was written before they were counted say nothing.
    counted = [one.attachment.get("nodes") for one in documents if one.attachment is not None]
    return not counted or counted == [len(documents)] * len(documents)


def to_text(node: BaseNode) -> Document:
    """What a reranker looks at: text, context and id. Metadata is left out, for here it need not be JSON."""
    return Document(text=own_text(node), id=node.node_id, context=embedded_context(node))


def to_node(id: str | None, text: str, metadata: Mapping[str, Any]) -> BaseNode:
    """A fresh node, of the class that was stored.

    A document that another framework wrote becomes a TextNode whose metadata is excluded from its embedded
    text, because it was encoded without it: stored again, it is not encoded again.
    """
    plain = deepcopy(dict(metadata))
    if not _ours(metadata):
        return TextNode(id_=id, text=text, metadata=plain, excluded_embed_metadata_keys=list(plain))
    kept = json.loads(plain.pop(NODE_KEY)["content"])
    data = {"text": text, **kept[DATA_KEY], "id_": id, "metadata": plain}
    if isinstance(data.get("text_resource"), dict):
        data["text_resource"] = {"text": data.pop("text"), **data["text_resource"]}
    return json_to_doc({**kept, DATA_KEY: data})


def with_evidence(node: BaseNode, key: str, told: Mapping[str, Any]) -> BaseNode:
    """A copy of a node with evidence in its metadata, which no language model and no encoder is shown."""
    shown_to = ("excluded_embed_metadata_keys", "excluded_llm_metadata_keys")
    hidden = {name: [*(one for one in getattr(node, name) if one != key), key] for name in shown_to}
    return node.model_copy(update={"metadata": {**node.metadata, key: dict(told)}, **hidden})


def is_node(document: Document) -> bool:
    """Whether a stored document was written as a node; what another framework wrote was cut from nothing."""
    return _ours(document.metadata)


def source_id(document: Document) -> str:
    """The id of the document that a stored node was cut from; its own if it was cut from none."""
    return str(document.metadata[NODE_KEY]["ref_doc_id"] if _ours(document.metadata) else document.id)


def ref_doc_hash(node: BaseNode) -> str | None:
    """The hash that the document of a node had when the node was cut from it."""
    source = node.source_node
    return node.hash if source is None else source.hash


def own_text(node: BaseNode) -> str:
    """A node's text without metadata."""
    return node.get_content(metadata_mode=MetadataMode.NONE)


def embedded_context(node: BaseNode) -> str:
    """What MetadataMode.EMBED puts around a node's text, all of it in front.

    With LlamaIndex's templates the metadata stands before the text, and context + text is exactly what EMBED
    gives. A template that puts some of it after the text has that moved to the front: the same words are
    encoded, and spans still count from the text's first character. A template without the text is encoded in
    front of the text all the same.
    """
    text = own_text(node)
    embedded = node.get_content(metadata_mode=MetadataMode.EMBED)
    if not text.strip():
        return embedded
    # EMBED strips its ends, so only the stripped text is sure to be in it; from the right, because a title
    # that repeats the text stands before it.
    before, _, after = embedded.rpartition(text.strip())
    if not after.strip():
        return before.removesuffix(text[: len(text) - len(text.lstrip())])
    return "".join(f"{part}\n\n" for part in (before.rstrip(), after.strip()) if part)


def _ours(metadata: Mapping[str, Any]) -> bool:
    kept = metadata.get(NODE_KEY)
    return isinstance(kept, Mapping) and {"ref_doc_id", "content"} <= kept.keys()


def _ref_doc_id(node: BaseNode) -> str:
    source = node.source_node
    return node.node_id if source is None else source.node_id


def _remainder(node: BaseNode) -> str:
    """A node as JSON without what has a place of its own in a Document, and without defaults."""
    try:
        data = node.model_dump(
            mode="json", exclude_defaults=True, exclude={"id_", "embedding", "metadata", "obj"}
        )
    except ValueError as error:
        raise InvalidInputError(
            f"node {node.node_id!r} cannot be stored as JSON: {error}. Give the object of an IndexNode to the "
            "retriever (object_map) or to LateInteractionIndex (objects), and leave obj empty."
        ) from error
    text = own_text(node)
    if data.get("text") == text:
        del data["text"]
    resource = data.get("text_resource")
    if isinstance(resource, dict) and resource.setdefault("text", None) == text:
        del resource["text"]
    return json.dumps({DATA_KEY: data, TYPE_KEY: node.get_type()}, ensure_ascii=False)
