"""Documents encoded by several processes, one a device: sentence-transformers' own multi-process pool."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from retrievers.types import TokenMatrix

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder
    from sentence_transformers.multi_vector_encoder.modules import BaseTokenPooling


class Pool:
    """Processes that each hold the model, started with the first texts and ended by close.

    They are started by "spawn": a program that uses one needs `if __name__ == "__main__":` around what it does.

    Args:
        model: is moved to the processor when the processes start, and shared with them.
        devices: one process each, as torch names them; "cpu" may come several times.
    """

    def __init__(self, model: MultiVectorEncoder, devices: Sequence[str]) -> None:
        self._model = model
        self._devices = list(devices)
        self._running: dict[Any, Any] | None = None
        self._finalizer: weakref.finalize[..., Any] | None = None

    def encode(
        self, texts: Sequence[str], lengths: Sequence[int], budget: int, pooling: BaseTokenPooling | None
    ) -> list[TokenMatrix]:
        """Rows of each text, float32, (tokens, dim), in the order given.

        Args:
            texts: none of them blank.
            lengths: tokens of each.
            budget: most tokens of a batch, padding included.
            pooling: merges rows of a text, in the processes.
        """
        running = self._start()
        order = sorted(range(len(texts)), key=lambda i: -lengths[i])
        size = max(budget // max(lengths, default=1), 1)
        rows = self._model.encode_document(
            [texts[i] for i in order],
            pool=running,
            batch_size=size,
            chunk_size=8 * size,
            token_pooling=pooling,
            convert_to_numpy=True,
        )
        matrices: list[TokenMatrix] = [np.empty((0, 0), np.float32)] * len(texts)
        for i, matrix in zip(order, rows, strict=True):
            wide = np.asarray(matrix, np.float32)
            matrices[i] = wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-12)
        return matrices

    def close(self) -> None:
        """End the processes; the next encode starts others."""
        if self._finalizer is not None:
            self._finalizer()
        self._running = self._finalizer = None

    def _start(self) -> dict[Any, Any]:
        if self._running is None:
            self._running = self._model.start_multi_process_pool(self._devices)
            self._finalizer = weakref.finalize(self, self._model.stop_multi_process_pool, self._running)
        return self._running
