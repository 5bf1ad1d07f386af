"""One transaction of a catalogue, of the format that is stored, for a with statement."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, TypeVar

from retrievers.store.connection import Connection
from retrievers.store.lock import Hold

Result = TypeVar("Result")


class Transaction(Hold):
    """A connection with an open transaction: what a writer's block does is committed, or none of it."""

    connection: Connection | None = None
    writes = False

    @abstractmethod
    def take(self) -> None:
        """Begin, unless this was begun."""

    def __enter__(self) -> Connection:  # type: ignore[override]
        try:
            self.take()
            assert self.connection is not None
            return self.connection
        except BaseException:
            self.let_go()
            raise

    def __exit__(self, kind: object = None, *_: object) -> None:
        # The outer of `with transaction, transaction:` finds nothing left to commit.
        try:
            if kind is None and self.writes and self.connection is not None:
                self.connection.commit()
        finally:
            self.let_go()

    def during(self, call: Callable[..., Result], *arguments: Any) -> Result:
        """Call a function with the connection, and then with the arguments, inside the transaction."""
        with self as connection, self:
            return call(connection, *arguments)
