"""The care of a collection: centroids, words and tokens built, space given back, copies, and what is damaged."""

from __future__ import annotations

from contextlib import suppress
from os import PathLike
from typing import TYPE_CHECKING

from retrievers.collection import indexing, validate
from retrievers.collection.changing import Changer
from retrievers.display.progress import Progress, wanted
from retrievers.errors import CorruptStoreError, InvalidTypeError

if TYPE_CHECKING:
    from retrievers.store import Damage, Info

# Short and long ones: their products, and the scans for so many rows, are not the same programs.
WARMING = (
    "warm",
    "is it warm by now, or cold",
    "long questions are about the weather and much else besides, " * 3,
)
PAGE = 1000  # documents whose tokens are counted together


class Caretaker(Changer):
    """The methods of a collection that change no document."""

    def optimize(self, *, show_progress: bool | None = None) -> None:
        """Build the centroids that let search skip most windows; add keeps them up to date.

        Others may search and write meanwhile. In a large collection this takes minutes; where it is interrupted, the
        next call goes on from there.

        Args:
            show_progress: a bar with the time to go; None shows it in a notebook, and where standard error is a
                terminal.
        """
        from retrievers.search import optimize

        shown = None if show_progress is None else validate.flag(show_progress, "show_progress")
        optimize(self.store, show_progress=shown)

    def warm(self) -> None:
        """Prepare for questions: afterwards the first one takes little longer than the later ones.

        It loads the model if it is not loaded yet, encodes a few questions and searches with them: the scans are
        compiled or come from their cache, the rows are in memory as far as they fit, and what an optimised collection
        derives for its search is there. An empty collection has nothing to search, and only the model is loaded.

        Raises:
            ModelNotFoundError, DamagedModelError, MissingExtraError, DeviceMemoryError: see LateInteractionEncoder.
            CorruptStoreError: what is stored is damaged.
        """
        for question in WARMING:
            self.search_many([question] * 2, k=10)
            self.search(question, k=10)
        self.encoder.encode_queries(list(WARMING))

    def index_words(self, words: str | None = None, *, words_weight: float | None = None) -> None:
        """Index the words of all documents, and of those that are added from now on; what is there is built anew.

        Args:
            words: the tokenizer, as for Collection; None keeps that of the index that is there, or takes "unicode61".
            words_weight: the share of words in a search that does not say it, from 0 to 1; None keeps what is there.
        Raises:
            UnsupportedError: this Python's SQLite has no FTS5; nothing was changed.
            CorruptStoreError: a document is damaged; nothing was changed.
        """
        self.store.index_words(validate.tokenizer(words), validate.weight(words_weight, "words_weight"))

    @property
    def words_weight(self) -> float | None:
        """The share of words in a search that does not say it; None is a search without words."""
        with self.store.read() as view:
            return view.word_weight

    def count_tokens(self, *, show_progress: bool | None = None) -> None:
        """Count in how many documents each token occurs, from now on: what weights by idf are made of.

        A collection whose encoder has "idf" among its query_weights when it is made counts from the beginning; this is
        for the others. The texts are read again, and nothing is encoded.

        Raises:
            InvalidInputError: the encoder does not number its tokens.
        """
        shown = None if show_progress is None else validate.flag(show_progress, "show_progress")
        with self.store.writing(), Progress(len(self.store), "Counting", "documents", shown) as progress:
            found: dict[str, set[int]] = {}
            last: str | None = None
            while page := self.store.page(limit=PAGE, after=last):
                whole = [document.context + document.text for document in page]
                spans = [self.encoder.split(text) for text in whole]
                tokens = indexing.token_ids(self.encoder, whole, spans)
                found |= {str(one.id): some for one, some in zip(page, tokens, strict=True)}
                last = str(page[-1].id)
                progress.advance(len(page))
            self.store.count_tokens(found)

    def compact(self, *, show_progress: bool | None = None) -> None:
        """Give back the space of deleted and replaced documents."""
        with self._progress_over_windows("Compacting", show_progress) as progress:
            self.store.compact(progress.advance)

    def backup(self, path: str | PathLike[str]) -> None:
        """Copy the last commit into a new directory, while other threads and processes go on writing.

        The directory gets its name when the copy is whole: one that is interrupted leaves nothing there.

        Args:
            path: a directory that is not there yet; the one that it lies in is.
        Raises:
            StoreError: the path exists, or the system refuses; nothing is left of the copy.
        """
        directory = validate.directory(path)
        if directory is None:
            raise InvalidTypeError("path is None: a backup needs a new directory.")
        self.store.backup(directory)

    def convert(self, path: str | PathLike[str], *, bits: int, show_progress: bool | None = None) -> None:
        """Copy the last commit into a new directory with other bits a number, without encoding anything again.

        The rows are rounded from what is stored. Documents, words, counts and centroids come with them, deleted
        documents do not. The directory gets its name when the copy is whole: one that is interrupted leaves nothing
        there, and is made again.

        Args:
            path: a directory that is not there yet; the one that it lies in is.
            bits: of a number of the new rows, 8 or 4: the other than those of this collection.
            show_progress: a progress bar; None shows it in a notebook, and where standard error is a terminal.
        Raises:
            InvalidInputError: bits is neither, or what the rows have already.
            CorruptStoreError: a row is damaged; the message names the document. Nothing is left of the copy.
            StoreError: the path exists, or the system refuses; nothing is left of the copy.
        """
        directory, wanted = validate.directory(path), validate.bits(bits)
        if directory is None:
            raise InvalidTypeError("path is None: a conversion needs a new directory.")
        with self._progress_over_windows("Converting", show_progress) as progress:
            self.store.convert(directory, wanted, progress.advance)

    def verify(self, *, show_progress: bool | None = None) -> list[Damage]:
        """Read everything and compare it with its checksums; an empty list is a sound collection."""
        with self._progress_over_windows("Verifying", show_progress) as progress:
            return self.store.verify(progress.advance)

    def _progress_over_windows(self, doing: str, show: bool | None) -> Progress:
        shown = None if show is None else validate.flag(show, "show_progress")
        windows = None
        if wanted(shown):
            with suppress(CorruptStoreError):  # verify is to say what is damaged, not the bar
                windows = self.store.info().windows
        return Progress(windows, doing, "windows", shown)

    def info(self) -> Info:
        """The model and its identity, counts, sizes and share of dead rows."""
        return self.store.info()
