"""A LlamaIndex postprocessor that cuts long nodes down to the passage that answers."""

from __future__ import annotations

import asyncio
from typing import Any

from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import BaseNode, NodeWithScore, QueryBundle, TextNode

from retrievers.llama_index.common import model_name, question, resolve
from retrievers.llama_index.nodes import own_text, to_text
from retrievers.types import Encoder, Window


class PassagePostprocessor(BaseNodePostprocessor):
    """Each node's text replaced by its best passage for the question, in the order given.

    A cut node is a copy: same id, score, metadata and relationships, with `start_char_idx` and
    `end_char_idx` at the passage. They count from where the node's own `start_char_idx` does, the start of
    the document that it was cut from, or from the start of the node's text where it has none. A node that
    fits into one passage, or has no tokens, comes back whole.

    Args:
        collection: its encoder and its stored nodes are used; or
        encoder: a model, where there is no collection.
    Raises:
        InvalidInputError: neither came, or both.
    """

    model: str = ""

    _collection: Any = PrivateAttr()

    def __init__(self, collection: Any = None, *, encoder: Encoder | None = None, **fields: Any) -> None:
        collection = resolve(collection, encoder)
        fields["model"] = model_name(collection)
        super().__init__(**fields)
        self._collection = collection

    @classmethod
    def class_name(cls) -> str:
        return "PassagePostprocessor"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        query = question(query_bundle)
        if not nodes:
            return []
        hits = self._collection.rerank(query, [to_text(scored.node) for scored in nodes])
        passages = {hit.position: hit.passage for hit in hits}
        return [
            NodeWithScore(node=_cut(scored.node, passages.get(place)), score=scored.score)
            for place, scored in enumerate(nodes)
        ]

    async def _apostprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        return await asyncio.to_thread(self._postprocess_nodes, nodes, query_bundle)


def _cut(node: BaseNode, passage: Window | None) -> BaseNode:
    if passage is None or not passage.text or not _leaves_words(own_text(node), passage):
        return node
    first = getattr(node, "start_char_idx", None) or 0
    place = {
        "text": passage.text,
        "start_char_idx": first + passage.start,
        "end_char_idx": first + passage.end,
    }
    if isinstance(node, TextNode):
        return node.model_copy(update=place)
    # A Document has no place for a span, a TextNode has; it can say all else that a Document says of a text.
    shared = {name: getattr(node, name) for name in BaseNode.model_fields if name != "embedding"}
    return TextNode(**shared, **place, text_template=getattr(node, "text_template", "{content}"))


def _leaves_words(text: str, passage: Window) -> bool:
    """Whether a passage leaves more of a text out than blanks and punctuation."""
    return any(character.isalnum() for character in text[: passage.start] + text[passage.end :])
