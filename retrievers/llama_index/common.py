"""What the classes of this adapter share: a collection to work on, its model, and a question to work for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llama_index.core.schema import QueryBundle

from retrievers.collection import Collection
from retrievers.errors import InvalidInputError
from retrievers.types import Encoder


def resolve(collection: Any, encoder: Encoder | None) -> Any:
    """The collection given, or one in memory around the encoder given.

    Raises:
        InvalidInputError: both are given, or neither.
    """
    if (collection is None) == (encoder is None):
        seen = "neither" if collection is None else "both"
        raise InvalidInputError(f"give either collection= or encoder=; {seen} came.")
    return Collection(None, encoder) if collection is None else collection


def question(query_bundle: QueryBundle | None) -> str:
    """The text of a query.

    Raises:
        InvalidInputError: there is none.
    """
    if query_bundle is None:
        raise InvalidInputError("a question is needed: postprocess_nodes(nodes, query_str='…').")
    return query_bundle.query_str


def model_name(collection: Any) -> str:
    """The name of a collection's model."""
    store = getattr(collection, "store", None)
    # What the directory says of its model is known without loading it.
    fingerprint = collection.encoder.fingerprint if store is None else store.fingerprint
    return str(fingerprint["model"])


def refuse(arguments: Mapping[str, Any], method: str) -> None:
    """Keyword arguments that LlamaIndex lets through and nobody here knows.

    Raises:
        InvalidInputError: there are any.
    """
    if arguments:
        raise InvalidInputError(f"{method} does not take {', '.join(sorted(arguments))}.")
