"""Copies and pickles of a collection on a server: they open it again, and create nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Self

from qdrant_client import QdrantClient

from retrievers.collection import copying
from retrievers.qdrant.calls import Calls
from retrievers.qdrant.connection import Connection
from retrievers.types import Encoder


class Copied:
    """The methods by which a collection is copied, pickled and sent to another process."""

    _connection: Connection
    _calls: Calls

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """A pickle holds the server's address, the collection's name and its model: it is opened again.

        Raises:
            InvalidTypeError: another process cannot reach it, or needs the server's key, which no pickle holds; or
                its encoder cannot be pickled.
        """
        where, options = self._connection.portable()
        return reopened, self._again(where, copying.portable(self._calls.known), options)

    def __deepcopy__(self, memo: object = None) -> Self:
        """Another collection of the same name and with the same encoder, on a connection of its own.

        A client that was given, and the client's own engine, which opens once, are shared.
        """
        where, options = self._connection.again()
        copy: Self = reopened(*self._again(where, self._calls.known, options))
        return copy

    __copy__ = __deepcopy__

    def _again(
        self, where: str | QdrantClient, encoder: Encoder | None, options: Mapping[str, Any]
    ) -> tuple[Any, ...]:
        name = self._calls.layout.name  # an alias may name another one by now
        return type(self), where, name, encoder, {**options, "candidates": self._calls.candidates}


def reopened(
    kind: Callable[..., Any],
    where: str | QdrantClient,
    name: str,
    encoder: Encoder | None,
    options: Mapping[str, Any],
) -> Any:
    """The collection that a copy or a pickle stands for.

    Raises:
        StoreError: it is not there any more.
        ModelMismatchError: it was made anew with another model.
    """
    collection = kind(where, name, **options)  # without an encoder nothing is created
    if encoder is not None:
        collection._calls.take(encoder)
    return collection
