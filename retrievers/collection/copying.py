"""Copies and pickles of a collection: on disk they open the same directory, in memory there are none."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from retrievers.encoder import LateInteractionEncoder
from retrievers.errors import InvalidTypeError
from retrievers.types import Encoder

Opened = TypeVar("Opened")


def place(path: Path | None) -> str:
    """The directory that a copy opens.

    Raises:
        InvalidTypeError: there is none, because the collection is in memory.
    """
    if path is None:
        raise InvalidTypeError(
            "this collection is in memory, where a copy or another process cannot find it: give it a directory, "
            "Collection('index', encoder), which every copy opens again."
        )
    return str(path)


def portable(encoder: Encoder | None) -> Encoder | None:
    """The encoder that goes into a pickle; None where the directory itself tells which model to load.

    Raises:
        InvalidTypeError: it is a user's own, and cannot be pickled.
    """
    if encoder is None or type(encoder) is LateInteractionEncoder:
        return None
    try:
        pickle.Pickler(_Nowhere()).dump(encoder)
    except (TypeError, AttributeError, pickle.PicklingError) as error:
        raise InvalidTypeError(
            f"the encoder of this collection, a {type(encoder).__name__}, cannot be pickled ({error}), and so "
            "neither can the collection: give the class a __reduce__, or open the collection anew in the other "
            "process, Collection(path, encoder)."
        ) from error
    return encoder


def reopened(
    open: Callable[..., Opened], directory: str, encoder: Encoder | None, options: Mapping[str, Any]
) -> Opened:
    """The collection that a copy or a pickle stands for.

    Args:
        open: Collection.open, or that of a class made of it.
    Raises:
        StoreError: it is not there any more.
        ModelMismatchError: it was built anew with another model.
    """
    return open(directory, encoder, **options)


class _Nowhere:
    """A file that keeps nothing."""

    def write(self, data: bytes) -> int:
        return len(data)
