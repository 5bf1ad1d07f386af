"""Who may write: one thread of one process at a time, and nobody once that process is gone."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from retrievers.errors import StoreLockedError
from retrievers.store import _io
from retrievers.store.connection import translated

if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


RETRY_SECONDS = 0.01


class WriterLock:
    """A lock on a file that the operating system releases when its holder ends, however it ends.

    The same thread may take it again while it holds it.

    Args:
        path: the file to lock, created if need be; None locks only among threads.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.reset()

    def reset(self) -> None:
        """Forget everything, in a child process: the descriptor that fork copied would keep the lock."""
        descriptor = getattr(self, "_descriptor", None)
        if descriptor is not None:
            os.close(descriptor)
        self._thread = threading.RLock()
        self._depth = 0
        self._descriptor: int | None = None

    @contextmanager
    def held(self, timeout: float) -> Iterator[None]:
        """Hold the lock.

        Raises:
            StoreLockedError: somebody else holds it for longer than timeout seconds.
        """
        deadline = time.monotonic() + timeout
        if not self._thread.acquire(timeout=min(timeout, threading.TIMEOUT_MAX)):
            raise StoreLockedError(_message("another thread of this process", timeout))
        try:
            if self._depth == 0 and self._path is not None:
                self._descriptor = self._lock_file(self._path, deadline, timeout)
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
                if self._depth == 0 and self._descriptor is not None:
                    descriptor, self._descriptor = self._descriptor, None
                    os.close(descriptor)
        finally:
            self._thread.release()

    def _lock_file(self, path: Path, deadline: float, timeout: float) -> int:
        with translated(str(path.parent)):
            descriptor = _io.open_file(path)
        try:
            while not _try_lock(descriptor):
                if time.monotonic() >= deadline:
                    raise StoreLockedError(_message(f"another writer holds {path} and", timeout))
                time.sleep(RETRY_SECONDS)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor


class ReadersWriter:
    """Many readers or one writer, for a catalogue in memory, which has one connection and no snapshots."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._readers: dict[int, int] = {}
        self._writer_waits = False

    @contextmanager
    def reading(self, timeout: float) -> Iterator[None]:
        """Keep writers out. A thread that reads already may read again although a writer waits."""
        thread = threading.get_ident()
        with self._condition:
            if not self._condition.wait_for(
                lambda: not self._writer_waits or thread in self._readers, timeout
            ):
                raise StoreLockedError(_message("another thread of this process", timeout))
            self._readers[thread] = self._readers.get(thread, 0) + 1
        try:
            yield
        finally:
            with self._condition:
                self._readers[thread] -= 1
                if not self._readers[thread]:
                    del self._readers[thread]
                self._condition.notify_all()

    @contextmanager
    def writing(self, timeout: float) -> Iterator[None]:
        """Wait until the readers are gone and keep others out; writers exclude each other by WriterLock."""
        with self._condition:
            self._writer_waits = True
            try:
                if not self._condition.wait_for(lambda: not self._readers, timeout):
                    raise StoreLockedError(_message("a reader in this process", timeout))
            except BaseException:
                self._writer_waits = False
                self._condition.notify_all()
                raise
        try:
            yield
        finally:
            with self._condition:
                self._writer_waits = False
                self._condition.notify_all()


def _message(who: str, timeout: float) -> str:
    return (
        f"{who} did not finish within {timeout:g} s. Wait for it and call again, or open the collection with "
        "a longer timeout. A process that was killed leaves no lock behind."
    )
