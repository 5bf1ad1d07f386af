"""What every class of this adapter needs: a collection to work on, and its names for a trace."""

from __future__ import annotations

from typing import Annotated, Any

from langchain_core.retrievers import LangSmithRetrieverParams
from pydantic import AfterValidator

from retrievers.collection import Collection
from retrievers.errors import InvalidInputError, InvalidTypeError
from retrievers.types import Encoder


def checked(collection: Any) -> Any:
    """The collection as it is, of whatever class has a collection's calls.

    Raises:
        InvalidTypeError: it is something else: a path, a vector store, None.
    """
    if not hasattr(collection, "rerank") or not hasattr(collection, "fingerprint"):
        raise InvalidTypeError(
            f"collection is a {type(collection).__name__}: give a Collection, Collection('index', encoder) say, "
            "or the .collection of a LateInteractionVectorStore."
        )
    return collection


OpenCollection = Annotated[Any, AfterValidator(checked)]
"""A field that holds a collection and takes nothing else."""


def resolve(collection: Any, encoder: Encoder | None) -> Any:
    """The collection given, or one in memory around the encoder given.

    Raises:
        InvalidInputError: both are given, or neither.
        InvalidTypeError: what is given is something else.
    """
    if (collection is None) == (encoder is None):
        seen = "neither" if collection is None else "both"
        raise InvalidInputError(f"give either collection= or encoder=; {seen} came.")
    return Collection(None, encoder) if collection is None else checked(collection)


def trace_parameters(collection: Any) -> LangSmithRetrieverParams:
    """What LangSmith shows beside a run: the kind of store, this library and the model's name."""
    return LangSmithRetrieverParams(
        ls_vector_store_provider=type(collection).__name__,
        ls_embedding_provider="maxsim-retrievers",
        ls_embedding_model=str(collection.fingerprint["model"]),
    )
