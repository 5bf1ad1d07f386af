"""A LlamaIndex postprocessor that cuts long nodes down to the passage that answers."""

from __future__ import annotations

from os import PathLike
from typing import Any

from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import BaseNode, NodeWithScore, QueryBundle, TextNode

from retrievers.collection.arguments import scoring
from retrievers.collection.asynchronous import asynchronous
from retrievers.llama_index.component import Component, question
from retrievers.llama_index.nodes import own_text, to_text
from retrievers.types import Encoder, Hits, SearchableCollection, Window


class PassagePostprocessor(Component, BaseNodePostprocessor):
    """Each node's text replaced by its best passage for the question, in the order given.

    A cut node is a copy: same id, score, metadata and relationships, with `start_char_idx` and
    `end_char_idx` at the passage. They count from where the node's own `start_char_idx` does, the start of
    the document that it was cut from, or from the start of the node's text where it has none. A node that
    fits into one passage, or has no tokens, comes back whole.

    Args:
        collection: its encoder and its stored nodes are used; or
        path: its directory, which is opened and never created; or
        encoder: a model, where there is no collection; beside a path, the model of the directory.
    Raises:
        InvalidInputError: nothing came, or too many of them.
        UnknownOptionError: another keyword.
    """

    def __init__(
        self,
        collection: SearchableCollection | None = None,
        *,
        path: str | PathLike[str] | None = None,
        encoder: Encoder | None = None,
        **fields: Any,
    ) -> None:
        super().__init__(scoring(collection, path, encoder), **fields)

    @classmethod
    def class_name(cls) -> str:
        return "PassagePostprocessor"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        query = question(query_bundle)
        if not nodes:
            return []
        return _cut_all(nodes, self._collection.rerank(query, [to_text(scored.node) for scored in nodes]))

    async def _apostprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        query = question(query_bundle)
        if not nodes:
            return []
        texts = [to_text(scored.node) for scored in nodes]
        return _cut_all(nodes, await asynchronous(self._collection).arerank(query, texts))


def _cut_all(nodes: list[NodeWithScore], hits: Hits) -> list[NodeWithScore]:
    passages = {hit.position: hit.passage for hit in hits}
    return [
        NodeWithScore(node=_cut(scored.node, passages.get(place)), score=scored.score)
        for place, scored in enumerate(nodes)
    ]


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
