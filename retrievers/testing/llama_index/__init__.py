"""A conformance suite for LlamaIndex vector stores, as strict as the contract: subclass it, give it a store.

    class TestOnDisk(VectorStoreConformance):
        @pytest.fixture
        def store(self, tmp_path):
            return LateInteractionVectorStore(path=tmp_path, encoder=HashingEncoder())

Each test that calls the store runs twice, through the method and through its async twin. It needs pytest and
llama-index-core, and takes any store that answers `query_str` by shared words. With
`pytest.register_assert_rewrite("retrievers.testing.llama_index")` in conftest.py a failure shows the values.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

from llama_index.core.schema import TextNode
from llama_index.core.vector_stores.types import BasePydanticVectorStore

from retrievers.testing.llama_index.base import Call
from retrievers.testing.llama_index.cases import ANIMALS, ask
from retrievers.testing.llama_index.changes import Changes
from retrievers.testing.llama_index.reading import Reading

__all__ = ["VectorStoreConformance"]


class VectorStoreConformance(Changes, Reading):
    """What a LlamaIndex vector store that keeps texts and encodes them itself must do."""

    def test_keeps_texts_and_asks_for_no_embedding(self, store: BasePydanticVectorStore) -> None:
        assert store.stores_text is True
        assert store.is_embedding_query is False

    def test_describes_itself_as_json_without_its_engine(self, store: BasePydanticVectorStore) -> None:
        described = json.loads(json.dumps(store.to_dict()))
        assert described["class_name"] == type(store).class_name()
        assert described["stores_text"] is True
        assert json.loads(store.to_json()) == described

    def test_a_new_store_is_empty(self, call: Call) -> None:
        assert call("get_nodes") == []
        found = call("query", ask("anything"))
        assert (found.nodes, found.similarities, found.ids) == ([], [], [])

    def test_concurrent_queries_equal_sequential_ones(
        self, store: BasePydanticVectorStore, animals: Sequence[TextNode]
    ) -> None:
        questions = [f"{one.text} {number}" for number in range(12) for one in ANIMALS]

        async def together() -> list[Any]:
            return await asyncio.gather(*(store.aquery(ask(question)) for question in questions))

        for got, question in zip(asyncio.run(together()), questions, strict=True):
            expected = store.query(ask(question))
            assert (got.ids, got.similarities) == (expected.ids, expected.similarities)

    def test_every_async_twin_leaves_the_event_loop_free(self, store: BasePydanticVectorStore) -> None:
        """Each twin gives the loop a turn before it is done, which a blocking one cannot."""
        calls: list[Callable[[], Any]] = [
            lambda: store.async_add(list(ANIMALS)),
            lambda: store.aquery(ask("cat")),
            lambda: store.aget_nodes(["cat"]),
            lambda: store.adelete("house"),
            lambda: store.adelete_nodes(["hen"]),
            lambda: store.aclear(),
        ]

        async def turns(start: Callable[[], Any]) -> int:
            task, count = asyncio.ensure_future(start()), 0
            while not task.done():
                await asyncio.sleep(0)
                count += 1
            await task
            return count

        # A coroutine that never waits is done after a single turn.
        assert all(asyncio.run(turns(start)) > 1 for start in calls)
