"""A LlamaIndex postprocessor that reorders nodes by MaxSim."""

from __future__ import annotations

import asyncio
from typing import Any

import llama_index.core.instrumentation as instrument
from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.callbacks import CallbackManager, CBEventType, EventPayload
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import NodeWithScore, QueryBundle

from retrievers.collection import validate
from retrievers.llama_index.common import model_name, question, resolve
from retrievers.llama_index.nodes import to_text
from retrievers.types import Encoder

dispatcher = instrument.get_dispatcher(__name__)


class LateInteractionRerank(BaseNodePostprocessor):
    """Nodes by their MaxSim with the question, best first.

    With a collection, a node that is stored there with the same text is scored from the store and not
    encoded again. Nodes and scores that come in are left as they are.

    Args:
        collection: its encoder and its stored nodes are used; or
        encoder: a model, where there is no collection.
        top_n: how many nodes to keep; None keeps all.
        score_threshold: least normalized score, in [0, 1], of a node that is kept.
        callback_manager: told of each run, as RERANKING.
    Raises:
        InvalidInputError: neither collection nor encoder or both, or top_n < 1.
    """

    top_n: int | None = None
    score_threshold: float | None = None
    model: str = ""

    _collection: Any = PrivateAttr()

    def __init__(
        self,
        collection: Any = None,
        *,
        encoder: Encoder | None = None,
        top_n: int | None = None,
        score_threshold: float | None = None,
        callback_manager: CallbackManager | None = None,
        **fields: Any,
    ) -> None:
        collection = resolve(collection, encoder)
        validate.threshold(score_threshold)
        fields["model"] = model_name(collection)
        fields["top_n"] = None if top_n is None else validate.count(top_n, "top_n")
        fields["score_threshold"] = score_threshold
        super().__init__(callback_manager=callback_manager or CallbackManager(), **fields)
        self._collection = collection

    @classmethod
    def class_name(cls) -> str:
        return "LateInteractionRerank"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        query = question(query_bundle)
        if not nodes:
            return []
        top_n = len(nodes) if self.top_n is None else self.top_n
        dispatcher.event(
            ReRankStartEvent(query=query_bundle, nodes=nodes, top_n=top_n, model_name=self.model)
        )
        payload: dict[str, Any] = {
            EventPayload.NODES: nodes,
            EventPayload.MODEL_NAME: self.model,
            EventPayload.QUERY_STR: query,
            EventPayload.TOP_K: top_n,
        }
        with self.callback_manager.event(CBEventType.RERANKING, payload=payload) as event:
            documents = [to_text(scored.node) for scored in nodes]
            hits = self._collection.rerank(
                query, documents, top_n=self.top_n, score_threshold=self.score_threshold
            )
            reranked = [NodeWithScore(node=nodes[hit.position].node, score=hit.score) for hit in hits]
            event.on_end(payload={EventPayload.NODES: reranked})
        dispatcher.event(ReRankEndEvent(nodes=reranked))
        return reranked

    async def _apostprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        return await asyncio.to_thread(self._postprocess_nodes, nodes, query_bundle)
