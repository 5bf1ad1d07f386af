"""The live windows of a commit as columns: what a search and the index of words read of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Columns:
    """The live windows, ordered by document key and then by place in the document.

    Attributes:
        key, batch, start, end, first, last, checksum: int64, (windows,): document, batch, token span,
            character span, CRC-32.
        checked: bool, (windows,): whether the checksum was compared in this process.
        fitting: bool, (windows,): whether the document's count and text were compared in this process.
    """

    key: NDArray[np.int64]
    batch: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    first: NDArray[np.int64]
    last: NDArray[np.int64]
    checksum: NDArray[np.int64]
    checked: NDArray[np.bool_]
    fitting: NDArray[np.bool_]

    def take(self, chosen: NDArray[Any] | slice) -> Columns:
        """Some of the windows, by mask, by position or by range."""
        return Columns(*(getattr(self, name)[chosen] for name in self.__slots__))

    def joined(self, other: Columns) -> Columns:
        """These windows, then the other ones."""
        return Columns(*(np.concatenate([getattr(self, n), getattr(other, n)]) for n in self.__slots__))
