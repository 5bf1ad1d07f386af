"""A view: one commit of a collection, for as long as a search needs it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrievers.errors import CorruptStoreError, NoWordsError, StoreClosedError
from retrievers.filters import Filter
from retrievers.filters.fields import encode
from retrievers.filters.language import Combine, Compare
from retrievers.kernels.rows import RowForm, possible
from retrievers.store import backup, bm25, document_rows, documents, token_counts
from retrievers.store.connection import Connection
from retrievers.store.snapshot import SELECTIONS, Snapshot, spans_fit
from retrievers.store.tokens import checksum
from retrievers.types import Document

FEW = 8  # ids that are fewer than this part of all documents have a filter evaluated on them alone


class View:
    """Everything that a search reads, consistent with one commit.

    Positions number the live windows; documents have keys, which grow with the order of first insertion.

    Attributes:
        dim: length of a token vector.
        bits: of a number of the rows.
        rows: uint8, (tokens, row_bytes(dim, bits)), dead rows included.
        scales: float32, (tokens,).
        starts, ends: int64, (windows,): token span of each live window, in order of insertion.
        documents: int64, (windows,): key of the document of each.
        codes: uint16, (tokens,), the centroid of each row, or None before optimize.
        centroids: float32, (K, dim), or None.
        version: number of the commit.
        word_weight: the share of words in a search that does not say it; None is a search without words.
    """

    def __init__(self, connection: Connection, snapshot: Snapshot, form: RowForm) -> None:
        self._connection = connection
        self._snapshot = snapshot
        self._open = True
        self._selected: tuple[Filter, NDArray[np.int64]] | None = None
        self.form, self.dim, self.bits = form, form.dim, form.bits
        self.rows = snapshot.rows
        self.scales = snapshot.scales
        self.starts = snapshot.columns.start
        self.ends = snapshot.columns.end
        self.documents = snapshot.columns.key
        self.codes = snapshot.codes
        self.centroids = snapshot.centroids
        self.version = snapshot.state.version
        self.word_weight = None if snapshot.words is None else snapshot.words.weight

    def __len__(self) -> int:
        return self._snapshot.state.documents

    def select(
        self, filter: Filter | Callable[[Document], bool] | None, ids: Iterable[str] | None = None
    ) -> NDArray[np.int64] | None:
        """Positions of the windows whose documents a filter keeps, ascending; None means all.

        The last filters are remembered until the next commit; a function is called for every document.

        Args:
            ids: choose among these documents alone, unknown ids left out. They are looked up by id, and a filter is
                evaluated on them alone where they are a small part of the collection.
        """
        if ids is not None:
            return self._select_among(filter, sorted(documents.keys_of(self._sound(), ids).values()))
        if filter is None:
            return None
        if not isinstance(filter, Filter):
            every = documents.every(self._sound())
            return self._positions([key for key, document in every if filter(document)])
        return self._kept(filter)

    def _kept(self, filter: Filter) -> NDArray[np.int64]:
        known, name = self._snapshot.selections, exact(filter)
        positions = None if name is None else known.pop(name, None)
        if positions is None:
            positions = self._positions(documents.matching_keys(self._sound(), filter))
        if name is not None:
            known[name] = positions
        while len(known) > SELECTIONS:
            known.popitem(last=False)
        self._selected = (filter, positions)
        return positions

    def _select_among(
        self, filter: Filter | Callable[[Document], bool] | None, keys: list[int]
    ) -> NDArray[np.int64]:
        named = self._positions(keys)
        if filter is None:
            return named
        if not isinstance(filter, Filter):
            found = documents.read(self._sound(), keys)
            return self._positions([key for key in keys if filter(found[key])])
        if exact(filter) in self._snapshot.selections or len(keys) * FEW > len(self):
            return np.intersect1d(named, self._kept(filter), assume_unique=True)
        metadata = documents.read_metadata(self._sound(), keys)
        return self._positions([key for key in keys if filter.matches(metadata[key])])

    def matching(self, filter: Filter | Callable[[Document], bool] | None) -> list[Document]:
        """The documents that a filter keeps, in order of insertion; None means all."""
        if isinstance(filter, Filter):
            keys = documents.matching_keys(self._sound(), filter)
            found = documents.read(self._sound(), keys)
            for key in keys:
                if not filter.matches(found[key].metadata):
                    documents.raise_damaged(key)
            return [found[key] for key in keys]
        every = documents.every(self._sound())
        return [document for _, document in every if filter is None or filter(document)]

    def fetch(self, keys: Iterable[int]) -> dict[int, Document]:
        """Documents of windows that were found, by key.

        Once in a process, the rows that the windows were scored by are compared with their checksums, and the
        windows with what the document counts and says.

        Raises:
            CorruptStoreError: rows, text or metadata are damaged, or no such document is there.
        """
        wanted = sorted({int(key) for key in keys})
        first = np.searchsorted(self.documents, wanted, side="left").tolist()
        last = np.searchsorted(self.documents, wanted, side="right").tolist()
        parts = {key: slice(*part) for key, *part in zip(wanted, first, last, strict=True)}
        columns = self._snapshot.columns
        for key, part in parts.items():
            if not columns.checked[part].all():
                self._check_rows(key, part)
        found = documents.read(self._sound(), wanted)
        fresh = [
            key for key, part in parts.items() if part.start == part.stop or not columns.fitting[part].all()
        ]
        counts = documents.counts(self._sound(), fresh) if fresh else {}
        for key in fresh:
            self._check_windows(found[key], counts[key], parts[key])
        for key, document in found.items():
            self._check_selected(key, document, parts[key])
        return found

    def ids(self) -> list[str]:
        """The ids of all documents, in order of insertion."""
        return [row[0] for row in self._sound().rows("SELECT id FROM documents ORDER BY key")]

    def keys_of(self, ids: Iterable[str]) -> dict[str, int]:
        """Keys of the documents that are there, by id."""
        return documents.keys_of(self._sound(), ids)

    def get(self, ids: Sequence[str]) -> list[Document]:
        """The documents that are there, in the order asked."""
        return documents.get(self._sound(), ids)

    def spans(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Character spans of windows in their documents' texts: int64, (n, 2)."""
        columns = self._snapshot.columns
        return np.stack([columns.first[positions], columns.last[positions]], axis=1)

    def positions_of(self, ids: Iterable[str]) -> dict[str, NDArray[np.int64]]:
        """Positions of the live windows of documents, by id; unknown ids are left out."""
        found = documents.keys_of(self._sound(), ids)
        return {key: np.arange(*self._range(number), dtype=np.int64) for key, number in found.items()}

    def positions_of_found(self, ids: Sequence[str]) -> dict[str, NDArray[np.int64]]:
        """Positions of the live windows of documents that this view gave, by id.

        Raises:
            CorruptStoreError: the index of ids has one of them no more, though the table of documents has.
        """
        found = self.positions_of(ids)
        absent = [key for key in ids if key not in found]
        if absent:
            raise CorruptStoreError(
                f"documents were found that the index of ids does not have: {absent[:5]}. {document_rows.CURE}"
            )
        return found

    def content_hashes(self, ids: Iterable[str]) -> dict[str, bytes]:
        """Content hashes of the documents that are there, by id."""
        return documents.content_hashes(self._sound(), ids)

    def ids_of_content(self, hashes: Iterable[bytes]) -> dict[bytes, str]:
        """Id of a document for each content hash that is there; of several the one that was inserted first.

        No index has the hashes: a thousand of them read the table `documents` once, which holds no texts.
        """
        found: dict[bytes, str] = {}
        wanted = list(hashes)
        for first in range(0, len(wanted), documents.CHUNK):
            part = wanted[first : first + documents.CHUNK]
            marks = ", ".join("?" * len(part))
            # The condition is made of question marks alone; every value in it is bound.
            sql = f"SELECT hash, id, min(key) FROM documents WHERE hash IN ({marks}) GROUP BY hash"  # noqa: S608
            found |= {bytes(row[0]): row[1] for row in self._sound().rows(sql, part)}
        return found

    def token_counts(self, tokens: Iterable[int]) -> dict[int, int] | None:
        """In how many documents each token occurs; None where the collection does not count them.

        Raises:
            CorruptStoreError: a count is damaged.
        """
        return token_counts.read(self._sound(), tokens, len(self))

    def word_scores(self, question: str) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """BM25 of the windows that have a word of a question (bm25.scores).

        Returns:
            Positions of the windows, int64, ascending, and their scores, float32, above 0.
        Raises:
            NoWordsError: the collection has no index of words.
            UnsupportedError: this SQLite has no FTS5.
            CorruptStoreError: the index is damaged.
        """
        index = self._snapshot.words
        if index is None:
            raise NoWordsError(
                "this collection has no index of words: build it once, collection.index_words(), or give words= where "
                "a collection is made."
            )
        return bm25.scores(self._sound(), index, question, self.documents)

    def windows_of(self, keys: Iterable[int]) -> NDArray[np.int64]:
        """Positions of the windows of some documents, ascending."""
        return self._positions(list(keys))

    def back_up(self, path: Path, timeout: float) -> None:
        """Copy this commit into a new directory (backup.write)."""
        backup.write(self._sound(), self._snapshot, self.form, path, timeout, backup.as_it_is)

    def convert(self, path: Path, timeout: float, bits: int, advance: Callable[[int], Any]) -> None:
        """Copy this commit into a new directory, with other bits a number (backup.converted)."""
        more = (bits, advance)
        backup.write(self._sound(), self._snapshot, self.form, path, timeout, backup.converted, *more)

    def close(self) -> None:
        """End the view; its arrays stay, its questions to the catalogue do not."""
        self._open = False

    def _sound(self) -> Connection:
        if not self._open:
            raise StoreClosedError("this view has ended: use it inside its `with` block.")
        return self._connection

    def _positions(self, keys: list[int]) -> NDArray[np.int64]:
        """Positions of the windows of some documents, ascending."""
        wanted = np.sort(np.array(keys, np.int64))
        first = np.searchsorted(self.documents, wanted, side="left")
        counts = np.searchsorted(self.documents, wanted, side="right") - first
        # One range a document: its first position, plus 0, 1, … counted anew for each.
        offsets = np.arange(int(counts.sum()), dtype=np.int64) - np.repeat(np.cumsum(counts) - counts, counts)
        positions: NDArray[np.int64] = np.repeat(first, counts).astype(np.int64) + offsets
        return positions

    def _range(self, key: int) -> tuple[int, int]:
        first = int(np.searchsorted(self.documents, key, side="left"))
        return first, int(np.searchsorted(self.documents, key, side="right"))

    def _check_selected(self, key: int, document: Document, part: slice) -> None:
        """Refuse a document that the last filter selected and does not keep: `fields` is damaged."""
        if self._selected is None:
            return
        filter, selected = self._selected
        if filter.matches(document.metadata):
            return
        if np.isin(np.arange(part.start, part.stop), selected).any():
            documents.raise_damaged(key)

    def _check_rows(self, key: int, windows: slice) -> None:
        columns = self._snapshot.columns
        for position in range(windows.start, windows.stop):
            if columns.checked[position]:
                continue
            part = slice(columns.start[position], columns.end[position])
            if checksum(self.rows[part], self.scales[part]) != columns.checksum[position]:
                found = self._sound().rows("SELECT id FROM documents WHERE key = ?", [key])
                raise CorruptStoreError(
                    f"token rows of document {found[0][0] if found else key!r} do not fit their checksum. "
                    f"{document_rows.CURE}"
                )
            if not possible(self.rows[part], self.scales[part], self.bits):
                raise CorruptStoreError(f"token rows of document number {key} are none. {document_rows.CURE}")
            columns.checked[position] = True

    def _check_windows(self, document: Document, counts: tuple[object, object], part: slice) -> None:
        """Refuse windows that are another document's, or lie outside of the text."""
        columns = self._snapshot.columns
        there = (part.stop - part.start, int((columns.end[part] - columns.start[part]).sum()))
        if counts != there:
            raise CorruptStoreError(
                f"document {document.id!r} has {there[0]} windows of {there[1]} token rows where {counts[0]} of "
                f"{counts[1]} were counted. {document_rows.CURE}"
            )
        if not spans_fit(columns.first[part], columns.last[part], document):
            raise CorruptStoreError(
                f"a window of document {document.id!r} lies outside of its text. {document_rows.CURE}"
            )
        columns.fitting[part] = True


def exact(filter: Filter) -> object:
    """What only equal filters have in common, by the bytes of their values; None where that is unknown."""
    if isinstance(filter, Compare):
        value = list(filter.value) if isinstance(filter.value, tuple) else filter.value
        return filter.key, filter.operator, encode(value)
    if isinstance(filter, Combine):
        parts = tuple(exact(part) for part in filter.parts)
        return None if None in parts else (filter.operator, parts)
    return None
