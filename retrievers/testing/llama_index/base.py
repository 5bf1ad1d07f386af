"""What the tests of the suite begin with: a store, its methods or their async twins, and nodes in it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from llama_index.core.schema import TextNode
from llama_index.core.vector_stores.types import BasePydanticVectorStore

from retrievers.testing.llama_index.cases import ANIMALS

Call = Callable[..., Any]

TWINS = {
    "add": "async_add",
    "delete": "adelete",
    "delete_nodes": "adelete_nodes",
    "get_nodes": "aget_nodes",
    "clear": "aclear",
    "query": "aquery",
}


class Conformance:
    """What all tests of the suite begin with."""

    @pytest.fixture
    def store(self) -> BasePydanticVectorStore:
        """An empty store: override this."""
        raise NotImplementedError("give the suite a fixture `store` that returns an empty vector store.")

    @pytest.fixture(params=["sync", "async"])
    def call(self, request: pytest.FixtureRequest, store: BasePydanticVectorStore) -> Call:
        """Calls a method of the store, or its async twin."""
        if request.param == "sync":
            return lambda name, *args, **kwargs: getattr(store, name)(*args, **kwargs)

        def call_twin(name: str, *args: Any, **kwargs: Any) -> Any:
            return asyncio.run(getattr(store, TWINS[name])(*args, **kwargs))

        return call_twin

    @pytest.fixture
    def animals(self, store: BasePydanticVectorStore, call: Call) -> Sequence[TextNode]:
        """Four nodes that are in the store."""
        call("add", list(ANIMALS))
        return ANIMALS
