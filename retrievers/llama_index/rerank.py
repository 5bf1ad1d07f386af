"""A LlamaIndex postprocessor that reorders nodes by MaxSim."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from typing import Any

import llama_index.core.instrumentation as instrument
from llama_index.core.callbacks import CallbackManager, CBEventType, EventPayload
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import NodeWithScore, QueryBundle

from retrievers.collection import validate
from retrievers.collection.arguments import scoring
from retrievers.collection.asynchronous import asynchronous
from retrievers.collection.evidence import of_hits
from retrievers.llama_index.component import Component, Score, question, scale, score_of
from retrievers.llama_index.nodes import to_text, with_evidence
from retrievers.types import Encoder, Hits, SearchableCollection

dispatcher = instrument.get_dispatcher(__name__)


class LateInteractionRerank(Component, BaseNodePostprocessor):
    """Nodes by their MaxSim with the question, best first.

    With a collection, a node that is stored there with the same text is scored from the store and not
    encoded again. Nodes and scores that come in are left as they are.

    Args:
        collection: its encoder and its stored nodes are used; or
        path: its directory, which is opened and never created; or
        encoder: a model, where there is no collection; beside a path, the model of the directory.
        top_n: how many nodes to keep; None keeps all.
        score_threshold: least normalized score, in [0, 1], of a node that is kept.
        score: the scale of the scores that nodes get: "normalized", in [0, 1], or "maxsim".
        evidence_key: key under which the evidence, see Evidence.as_json, is written into the metadata of copies of the
            nodes, excluded from what language models and embeddings see; None writes nothing.
        callback_manager: told of each run, as RERANKING.
    Raises:
        InvalidInputError: no collection, path or encoder came or too many of them, or top_n < 1.
        UnknownOptionError: another keyword.
    """

    top_n: int | None = None
    score_threshold: float | None = None
    score: Score = "normalized"
    evidence_key: str | None = None

    def __init__(
        self,
        collection: SearchableCollection | None = None,
        *,
        path: str | PathLike[str] | None = None,
        encoder: Encoder | None = None,
        top_n: int | None = None,
        score_threshold: float | None = None,
        score: str = "normalized",
        evidence_key: str | None = None,
        callback_manager: CallbackManager | None = None,
        **fields: Any,
    ) -> None:
        validate.threshold(score_threshold)
        super().__init__(
            scoring(collection, path, encoder),
            top_n=None if top_n is None else validate.count(top_n, "top_n"),
            score_threshold=score_threshold,
            score=scale(score),
            evidence_key=evidence_key,
            callback_manager=callback_manager or CallbackManager(),
            **fields,
        )

    @classmethod
    def class_name(cls) -> str:
        return "LateInteractionRerank"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        query = question(query_bundle)
        if not nodes:
            return []
        with self._told(nodes, query_bundle) as reranked:
            documents = [to_text(scored.node) for scored in nodes]
            hits = self._collection.rerank(
                query, documents, top_n=self.top_n, score_threshold=self.score_threshold
            )
            reranked.extend(self._scored(nodes, hits))
        return reranked

    async def _apostprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        query = question(query_bundle)
        if not nodes:
            return []
        with self._told(nodes, query_bundle) as reranked:
            documents = [to_text(scored.node) for scored in nodes]
            hits = await asynchronous(self._collection).arerank(
                query, documents, top_n=self.top_n, score_threshold=self.score_threshold
            )
            reranked.extend(await asyncio.to_thread(self._scored, nodes, hits))
        return reranked

    def _scored(self, nodes: list[NodeWithScore], hits: Hits) -> list[NodeWithScore]:
        key = self.evidence_key
        told = of_hits(self._collection, hits) if key is not None else [{}] * len(hits)
        reranked = []
        for hit, evidence in zip(hits, told, strict=True):
            if hit.position is not None:
                node = nodes[hit.position].node
                node = node if key is None else with_evidence(node, key, evidence)
                reranked.append(NodeWithScore(node=node, score=score_of(hit, self.score)))
        return reranked

    @contextmanager
    def _told(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None
    ) -> Iterator[list[NodeWithScore]]:
        """Tell LlamaIndex's events and callbacks of a run, which fills the list given."""
        reranked: list[NodeWithScore] = []
        top_n = len(nodes) if self.top_n is None else self.top_n
        dispatcher.event(
            ReRankStartEvent(query=query_bundle, nodes=nodes, top_n=top_n, model_name=self.model)
        )
        payload: dict[str, Any] = {
            EventPayload.NODES: nodes,
            EventPayload.MODEL_NAME: self.model,
            EventPayload.QUERY_STR: question(query_bundle),
            EventPayload.TOP_K: top_n,
        }
        with self.callback_manager.event(CBEventType.RERANKING, payload=payload) as event:
            yield reranked
            event.on_end(payload={EventPayload.NODES: reranked})
        dispatcher.event(ReRankEndEvent(nodes=reranked))
