"""Event loops under watch: who runs in their thread, and whether they go on meanwhile."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from retrievers import Collection
from retrievers.testing import HashingEncoder

PATIENCE = 30.0  # seconds without an answer after which a loop counts as blocked: only a failing test waits


def refuse_on_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise AssertionError("this ran in the thread of the event loop, and blocks it")


class Watch:
    """Asks an event loop for an answer, which one that the caller blocks cannot give.

    Args:
        loop: the loop under watch.

    Attributes:
        answers: one entry for each answer; a list, because several threads ask at once.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._blocked = False
        self.answers: list[bool] = []

    def ask(self) -> None:
        """Wait until the loop has set an event. Once it did not, nobody waits again."""
        answered = threading.Event()
        self._loop.call_soon_threadsafe(answered.set)
        self._blocked = self._blocked or not answered.wait(PATIENCE)
        assert not self._blocked, "the event loop gave no answer while this ran: the call blocks it"
        self.answers.append(True)


class OffLoop:
    """A collection whose every call fails where an event loop runs."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._collection, name)
        if not callable(value):
            return value

        def call(*args: Any, **kwargs: Any) -> Any:
            refuse_on_loop()
            return value(*args, **kwargs)

        return call


class WatchingEncoder(HashingEncoder):
    """Encodes a question only after the loop under watch has answered; without a watch at once."""

    watch: Watch | None = None

    def encode_queries(self, texts):
        if self.watch is not None:
            self.watch.ask()
        return super().encode_queries(texts)
