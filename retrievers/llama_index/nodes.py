"""Nodes between LlamaIndex and the collection: what is encoded, what is stored, what comes back."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from copy import deepcopy
from hashlib import blake2b
from typing import Any

from llama_index.core.constants import DATA_KEY, TYPE_KEY
from llama_index.core.schema import BaseNode, MetadataMode, TextNode
from llama_index.core.storage.docstore.utils import json_to_doc

from retrievers.errors import InvalidInputError
from retrievers.types import Document, Hit

PASSAGES = "passages"
"""Metadata key of the best windows of a node, where a search asks for them."""

NODES, NODE, TEXT = "nodes", "node", "text"  # keys of what is attached to a document
SPAN = ("start_char_idx", "end_char_idx")  # of a node in the document that it was cut from


def _to_document(node: BaseNode, siblings: int) -> Document:
    """A node as the collection keeps it.

    The node's own text stays the document's text, so that spans point into it, and what MetadataMode.EMBED
    adds to it becomes the context. The metadata are the user's own and stay as they are. The document that the node
    was cut from is the source, by which it is looked up; a node of none is its own. Relationships, templates and the
    rest are attached, as one string of JSON, with a digest of the text that they belong to.

    Args:
        siblings: how many nodes its document has, itself included: fewer that are stored are a document that was
            cut off on its way in.
    Raises:
        InvalidInputError: an IndexNode holds an object that is not JSON.
    """
    text = own_text(node)
    return Document(
        text=text,
        id=node.node_id,
        metadata=node.metadata,
        context=embedded_context(node),
        source=_ref_doc_id(node),
        attachment={NODES: siblings, NODE: _remainder(node), TEXT: _digest(text)},
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
    nodes = [to_node(one) for one in documents]
    if {ref_doc_hash(node) for node in nodes} != {digest}:
        return False
    # Nodes of a collection that was written before they were counted say nothing.
    counted = [one.attachment[NODES] for one in documents if one.attachment and NODES in one.attachment]
    return not counted or counted == [len(documents)] * len(documents)


def to_text(node: BaseNode) -> Document:
    """What a reranker looks at: text, context and id. Metadata is left out, for here it need not be JSON."""
    return Document(text=own_text(node), id=node.node_id, context=embedded_context(node))


def to_node(stored: Document | Hit) -> BaseNode:
    """A fresh node, of the class that was stored.

    A document that another framework wrote becomes a TextNode whose metadata is excluded from its embedded
    text, because it was encoded without it: stored again, it is not encoded again. Where another framework gave a
    node another text or other metadata, those are the node's, and it keeps its relationships and templates; its place
    in the document that it was cut from is gone with the text.
    """
    plain, kept = deepcopy(dict(stored.metadata)), _attached(stored)
    if kept is None:
        return TextNode(
            id_=stored.id, text=stored.text, metadata=plain, excluded_embed_metadata_keys=list(plain)
        )
    data = {"text": stored.text, **kept[DATA_KEY], "id_": stored.id, "metadata": plain}
    digest = None if stored.attachment is None else stored.attachment.get(TEXT)
    if digest not in (None, _digest(stored.text)):
        data = {key: value for key, value in data.items() if key not in SPAN} | {"text": stored.text}
        if isinstance(data.get("text_resource"), dict):
            data["text_resource"].pop("text", None)
    if isinstance(data.get("text_resource"), dict):
        data["text_resource"] = {"text": data.pop("text"), **data["text_resource"]}
    return json_to_doc({**kept, DATA_KEY: data})


def with_passages(node: BaseNode, hit: Hit) -> BaseNode:
    """A node of a hit, with its best windows under the metadata key PASSAGES where the search was asked for them."""
    if hit.passages:
        node.metadata[PASSAGES] = [
            {
                "text": one.window.text,
                "start": one.window.start,
                "end": one.window.end,
                "score": one.normalized_score,
            }
            for one in hit.passages
        ]
        node.excluded_embed_metadata_keys.append(PASSAGES)
    return node


def with_evidence(node: BaseNode, key: str, told: Mapping[str, Any]) -> BaseNode:
    """A copy of a node with evidence in its metadata, which no language model and no encoder is shown."""
    shown_to = ("excluded_embed_metadata_keys", "excluded_llm_metadata_keys")
    hidden = {name: [*(one for one in getattr(node, name) if one != key), key] for name in shown_to}
    return node.model_copy(update={"metadata": {**node.metadata, key: dict(told)}, **hidden})


def source_id(document: Document) -> str:
    """The id of the document that a stored one was cut from; its own if it was cut from none."""
    return str(document.id if document.source is None else document.source)


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


def _attached(stored: Document | Hit) -> dict[str, Any] | None:
    """What was attached to a node when it was stored; None for a document that is none."""
    content = None if stored.attachment is None else stored.attachment.get(NODE)
    if not isinstance(content, str):
        return None
    try:
        kept = json.loads(content)
    except ValueError:
        return None
    ours = isinstance(kept, dict) and isinstance(kept.get(DATA_KEY), dict) and TYPE_KEY in kept
    return kept if ours else None


def _digest(text: str) -> str:
    return blake2b(text.encode(), digest_size=8).hexdigest()


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
