"""What a test of a collection or of an integration needs: an encoder without a model, and suites to subclass.

`retrievers.testing.collection.CollectionConformance` is the suite for collections and
`retrievers.testing.llama_index.VectorStoreConformance` the one for LlamaIndex vector stores; both need pytest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from retrievers.testing.encoder import HashingEncoder

if TYPE_CHECKING:
    from retrievers.testing.collection import CollectionConformance as CollectionConformance

__all__ = ["CollectionConformance", "HashingEncoder"]


def __getattr__(name: str) -> Any:
    if name == "CollectionConformance":  # it needs pytest, which the encoder does not
        from retrievers.testing.collection import CollectionConformance

        return CollectionConformance
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
