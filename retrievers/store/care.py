"""What keeps a store in order: compaction, the index of words, counts of tokens, migration, copies, verification."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeVar

from retrievers.errors import InvalidInputError
from retrievers.kernels.rows import RowForm
from retrievers.store import backup, inventories, opening, token_counts, verification, writes
from retrievers.store.connection import translated
from retrievers.store.lock import Hold
from retrievers.store.tokens import Files
from retrievers.store.unfinished import Unfinished
from retrievers.store.verification import Damage, Info
from retrievers.store.view import View

Result = TypeVar("Result")


class Care:
    """The half of a store that changes no document.

    Attributes:
        form: of the token rows.
        fingerprint: of the encoder.
        timeout: seconds to wait for another writer.
        pause: called with the name of a change before it takes the writer's lock; a test puts another writer there.
    """

    form: RowForm
    fingerprint: dict[str, Any]
    timeout: float
    pause: Callable[[str], None]
    _files: Files
    _catalog: opening.Catalog

    @property
    def dim(self) -> int:
        """Length of a token vector."""
        return self.form.dim

    @property
    def bits(self) -> int:
        """Bits of a number of the token rows."""
        return self.form.bits

    def read(self) -> AbstractContextManager[View]:
        """One commit, the newest, for as long as the block runs."""
        raise NotImplementedError

    def writing(self) -> Hold:
        """Keep other writers out for several changes in a row; each is still committed by itself.

        Raises:
            StoreLockedError: another writer did not finish within the timeout.
        """
        return self._catalog.lock.hold(self.timeout)

    def unfinished(self) -> Unfinished:
        """What an optimisation keeps while it is under way."""
        return Unfinished(self._files, self.dim, self._catalog.place)

    def compact(self, advance: Callable[[int], Any] = lambda count: None) -> None:
        """Give back the space of dead rows, in files of a new generation; readers go on with the old ones.

        Args:
            advance: called with the number of windows that were copied.
        Raises:
            CorruptStoreError: a live row is damaged; the message names the document. Nothing was changed.
        """
        if self._exclusively("compact", writes.compact, advance):
            self._catalog.shrink()

    def index_words(self, tokenizer: str | None = None, weight: float | None = None) -> None:
        """Index the words of all documents, and from now on those that are added; an index that is there is built anew.

        Args:
            tokenizer: a name of words.TABLES; None keeps that of the index that is there, or takes "unicode61".
            weight: the share of words in a search that does not say it, from 0 to 1; None keeps that of the index that
                is there, or stores none.
        Raises:
            UnsupportedError: this SQLite has no FTS5; nothing was changed.
            CorruptStoreError: a document is damaged; nothing was changed.
        """
        self._exclusively("index words", inventories.index_words, tokenizer, weight)

    def counts_tokens(self) -> bool:
        """Whether the tokens of all documents are counted: then each entry that is appended names its own."""
        return self._catalog.reading().during(token_counts.are_kept)

    def count_tokens(self, token_ids: Mapping[str, Collection[int]]) -> None:
        """Count the tokens of all documents anew, and from now on, in one commit.

        Args:
            token_ids: of every document, by id. Whoever read the texts holds writing() since.
        Raises:
            InvalidInputError: a document has none, or is not stored; nothing was changed.
        """
        self._exclusively("count_tokens", inventories.count_tokens, token_ids)

    def migrate(self) -> bool:
        """Bring the format up to date, as any other write does. Returns whether it was older."""
        return self._exclusively("migrate", writes.migrate)

    def backup(self, path: Path) -> None:
        """Copy the last commit into a new directory, while other threads and processes go on writing.

        The directory gets its name when the copy is whole: one that is killed leaves nothing there.

        Raises:
            StoreError: the path exists, or the system refuses; nothing is left of the copy.
        """
        path = backup.free(path)
        with self.read() as view:
            view.back_up(path, self.timeout)

    def convert(self, path: Path, bits: int, advance: Callable[[int], Any] = lambda count: None) -> None:
        """Copy the last commit into a new directory, its rows rounded to other bits a number, without dead rows.

        It is made as a backup is. The copy is a collection of its own, with another id.

        Args:
            bits: of a number of the new rows.
            advance: called with the number of windows that were written.
        Raises:
            InvalidInputError: the rows have these bits already.
            CorruptStoreError: a live row is damaged; the message names the document. Nothing is left of the copy.
            StoreError: the path exists, or the system refuses; nothing is left of the copy.
        """
        if bits == self.bits:
            raise InvalidInputError(
                f"{self._catalog.place} has rows of {bits} bits a number already: backup(path) copies it as it is."
            )
        path = backup.free(path)
        with self.read() as view:
            view.convert(path, self.timeout, bits, advance)

    def verify(self, advance: Callable[[int], Any] = lambda count: None) -> list[Damage]:
        """Read everything and compare it with its checksums; an empty list is a sound store.

        Args:
            advance: called with the number of windows that were compared.
        """
        with translated(self._catalog.place):
            return self._catalog.reading().during(verification.verify, self._files, self.form, advance)

    def info(self) -> Info:
        """Model, counts, sizes and share of dead rows."""
        with translated(self._catalog.place):
            return self._catalog.reading().during(verification.info, self._files, self.fingerprint, self.form)

    def _exclusively(self, name: str, change: Callable[..., Result], *arguments: Any) -> Result:
        """Make a change under the writer's lock."""
        self.pause(name)
        result: Result = self.writing().during(
            writes.run, self._catalog, self._files, self.form, change, *arguments
        )
        return result
