"""The care of a store: copies, checks, sizes, and what is counted of its documents."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from retrievers.store import backup, opening, token_counts, verification, writes
from retrievers.store.connection import translated
from retrievers.store.tokens import Files
from retrievers.store.verification import Damage, Info
from retrievers.store.view import View


class Cared:
    """The part of a store that looks after what is there."""

    fingerprint: dict[str, Any]
    dim: int
    timeout: float
    _catalog: opening.Catalog
    _files: Files

    def read(self) -> AbstractContextManager[View]:
        """One commit; see Store."""
        raise NotImplementedError

    def _exclusively(self, name: str, change: Callable[..., Any], *arguments: Any) -> Any:
        raise NotImplementedError

    def migrate(self) -> bool:
        """Bring the format up to date, as any other write does. Returns whether it was older."""
        return bool(self._exclusively("migrate", writes.migrate))

    def backup(self, path: Path) -> None:
        """Copy the last commit into a new directory, while other threads and processes go on writing.

        The directory gets its name when the copy is whole: one that is killed leaves nothing there.

        Raises:
            StoreError: the path exists, or the system refuses; nothing is left of the copy.
        """
        path = backup.free(path)
        with self.read() as view:
            view.back_up(path, self.timeout)

    def verify(self, advance: Callable[[int], Any] = lambda count: None) -> list[Damage]:
        """Read everything and compare it with its checksums; an empty list is a sound store.

        Args:
            advance: called with the number of windows that were compared.
        """
        with translated(self._catalog.place):
            return self._catalog.reading().during(verification.verify, self._files, self.dim, advance)

    def info(self) -> Info:
        """Model, counts, sizes and share of dead rows."""
        with translated(self._catalog.place):
            return self._catalog.reading().during(verification.info, self._files, self.fingerprint)

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
        self._exclusively("count_tokens", writes.count_tokens, token_ids)
