"""A worker: one model, which encodes the batches that Ray hands it and stores them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from retrievers.encoder import identity
from retrievers.errors import RetrieversError
from retrievers.ray.columns import Columns
from retrievers.ray.targets import Target
from retrievers.types import Encoder

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow

PLACE = "retrievers place"  # the column that says where in the dataset a row stands


class Worker:
    """Called by Ray with batches; every row of what it returns says what became of a batch.

    An error of ours is returned and raised where the pipeline was started: Ray would give its text alone, inside
    another error.

    Args:
        encoder: the model; Ray has loaded it in this process.
        fingerprint: of the model that was asked for.
        columns: which make a document.
        target: what to store into.
    """

    def __init__(
        self, encoder: Encoder, fingerprint: Mapping[str, Any], columns: Columns, target: Target
    ) -> None:
        self._columns = columns
        self._failed: RetrieversError | None = None
        try:
            identity.check(
                fingerprint,
                encoder.fingerprint,
                "the encoder of this pipeline",
                "give every worker the same files and versions",
            )
            self._store = target.opened(encoder)
        except RetrieversError as error:
            self._failed = error

    def __call__(self, batch: pyarrow.Table) -> dict[str, list[Any]]:
        try:
            if self._failed is not None:
                raise self._failed
            rows = batch.to_pylist()
            documents = self._columns.documents(rows)
            if not documents:
                return answer(0, "")
            shard = self._store.store(documents, [row[PLACE] for row in rows])
            return answer(len(documents), shard)
        except RetrieversError as error:
            return answer(0, "", error)


def answer(documents: int, shard: str, error: RetrieversError | None = None) -> dict[str, list[Any]]:
    """What became of a batch, as a table of one row."""
    kind = "" if error is None else type(error).__name__
    return {
        "documents": [documents],
        "shard": [shard],
        "error": [kind],
        "message": ["" if error is None else str(error)],
    }
