"""An optimisation that was broken off: its centroids, and the codes of the first rows, to go on from."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from retrievers.errors import CorruptStoreError, StoreError
from retrievers.store.connection import translated
from retrievers.store.tokens import Files, checksum

NAME = "optimizing.part"
_HEADER = 64  # bytes: eight int64
_VERSION = 1


class Unfinished:
    """The file of an optimisation under way, which no commit names; FORMAT.md describes it.

    What was kept is taken only where every checksum fits, so that neither a power cut nor two optimisations at once
    can make wrong codes of it.

    Args:
        files: of the store.
        dim: of a centroid.
        place: what errors call the store.
    """

    def __init__(self, files: Files, dim: int, place: str) -> None:
        self._files, self._dim, self._place = files, dim, place
        self._centroids = self._codes = self._scales = 0  # checksums
        self._count = self._done = 0

    def found(
        self, scales: NDArray[np.float32], count: int
    ) -> tuple[NDArray[np.float32], NDArray[np.uint16]] | None:
        """What an earlier optimisation has kept for these rows, if it is whole.

        Args:
            scales: float32, (tokens,): of all rows; rows that were moved have others.
            count: of the centroids.
        Returns:
            centroids: float32, (count, dim).
            codes: uint16, (done,): of the first rows.
        """
        try:
            header = self._files.read(NAME, np.int64, (8,))
            first = header.tolist()
            version, dim, centroids_count, done = first[:4]
            wanted = (_VERSION, self._dim, count)
            if (version, dim, centroids_count) != wanted or not 0 <= done <= len(scales):
                return None
            if first[7] != checksum(header[:7]):
                return None
            ends = np.cumsum([_HEADER, count * self._dim * 4, done * 2])
            data = self._files.read(NAME, np.uint8, (int(ends[-1]),))
        except CorruptStoreError:  # there is none, or it was cut off
            return None
        centroids = data[ends[0] : ends[1]].view("<f4").reshape(count, self._dim).astype(np.float32)
        codes = data[ends[1] : ends[2]].view("<u2").astype(np.uint16)
        if first[4:7] != [checksum(centroids), checksum(codes), checksum(scales[:done])]:
            return None
        self._centroids, self._codes, self._scales = first[4:7]
        self._count, self._done = count, done
        return centroids, codes

    def begin(self, centroids: NDArray[np.float32]) -> None:
        """Keep centroids, float32, (count, dim), in the place of whatever was kept."""
        self._centroids, self._codes, self._scales = checksum(centroids), 0, 0
        self._count, self._done = len(centroids), 0
        with translated(self._place):
            self._files.write(NAME, _HEADER, centroids)
            self._note()

    def keep(self, codes: NDArray[np.uint16], scales: NDArray[np.float32]) -> None:
        """Keep the codes of the rows that come next, uint16, (n,), with their scales, float32, (n,)."""
        place = _HEADER + self._count * self._dim * 4 + self._done * 2
        with translated(self._place):
            self._files.write(NAME, place, codes)
        self._codes, self._scales = checksum(codes, before=self._codes), checksum(scales, before=self._scales)
        self._done += len(codes)
        with translated(self._place):
            self._note()

    def remove(self) -> None:
        """Take the file away, if it is there; one that cannot be removed is harmless."""
        with suppress(StoreError), translated(self._place):
            if self._files.size(NAME):
                self._files.remove(NAME)

    def _note(self) -> None:
        sums = (self._centroids, self._codes, self._scales)
        header = np.array([_VERSION, self._dim, self._count, self._done, *sums, 0], np.int64)
        header[7] = checksum(header[:7])
        self._files.write(NAME, 0, header)
