"""Opening and creating collections for the commands; a model is loaded only where one is needed."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from retrievers.cli.model_options import DEFAULT_MODEL, given, load

if TYPE_CHECKING:
    from retrievers.collection import Collection


def existing(
    directory: Path, options: argparse.Namespace | None = None, *, bits: int | None = None
) -> Collection:
    """Open a collection with the model that wrote it, which is loaded when something is encoded.

    Args:
        directory: where it lies.
        options: what model_options declared; None for a command that encodes nothing. A model that is named and is
            another than the collection's own is loaded now, to tell whether it fits, and so is a directory that is
            named, because a collection does not load a directory by itself unless its user owns both.
        bits: that a number of its rows is to have; None takes what is there.
    Raises:
        StoreError: no collection lies there.
        ModelMismatchError: the named model is another one.
        InvalidInputError: the rows have other bits.
    """
    from retrievers.collection import Collection
    from retrievers.errors import StoreError
    from retrievers.store import Store

    if not Store.exists(directory):
        raise StoreError(
            f"no collection lies in {str(directory)!r}: make one with `retrievers index PATH --into DIR`."
        )
    if options is None:
        return Collection.open(directory)
    collection = Collection.open(directory, encoder_options=given(options), bits=bits)
    named = options.model
    if named is None or (named == collection.fingerprint["model"] and not Path(named).is_dir()):
        return collection
    collection.close()
    return created(directory, options, bits=bits)


def created(directory: Path, options: argparse.Namespace, *, bits: int | None = None) -> Collection:
    """Create a collection, or open it, with a model that is loaded now."""
    from retrievers.collection import Collection

    return Collection(directory, load(options.model or DEFAULT_MODEL, options), bits=bits)
