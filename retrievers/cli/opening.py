"""Opening and creating collections for the commands; a model is loaded only where one is needed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from retrievers.collection import Collection

DEFAULT_MODEL = "LiquidAI/LFM2-ColBERT-350M"


def existing(directory: Path, model: str | None = None) -> Collection:
    """Open a collection with the model that wrote it, which is loaded when something is encoded.

    Args:
        directory: where it lies.
        model: what the user named; another than the collection's own is loaded now, to tell whether it fits.
    Raises:
        StoreError: no collection lies there.
        ModelMismatchError: the named model is another one.
    """
    from retrievers.collection import Collection
    from retrievers.errors import StoreError
    from retrievers.store import Store

    if not Store.exists(directory):
        raise StoreError(
            f"no collection lies in {str(directory)!r}: make one with `retrievers index PATH --into DIR`."
        )
    collection = Collection.open(directory)
    if model is None or model == collection.fingerprint["model"]:
        return collection
    collection.close()
    return created(directory, model)


def created(directory: Path, model: str | None) -> Collection:
    """Create a collection, or open it, with a model that is loaded now."""
    from retrievers.collection import Collection
    from retrievers.encoder import LateInteractionEncoder

    return Collection(directory, LateInteractionEncoder(model or DEFAULT_MODEL))
