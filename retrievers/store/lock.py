"""Who may write: one thread of one process at a time, and nobody once that process is gone."""

from __future__ import annotations

import os
import sys
import threading
import time
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from itertools import compress
from typing import Any, TypeVar

from retrievers.errors import StoreLockedError
from retrievers.store.connection import translated
from retrievers.store.directory import Descriptor, Directory

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


NAME = "write.lock"
RETRY_SECONDS = 0.001
Result = TypeVar("Result")


class Hold(ABC):
    """What is held for a with statement, and let go of however the statement ends.

    An interrupt (Ctrl-C) may come at the first line of `__exit__`, before it has done anything. So whoever must not
    fail writes `with hold, hold:`, or hands a function to `during`: the second `__enter__` does nothing, and the outer
    `__exit__` does what the inner one did not get to. Letting go twice does no harm.
    """

    @abstractmethod
    def take(self) -> None:
        """Take what is to be held, if it is not held already; what was begun is undone by let_go."""

    @abstractmethod
    def let_go(self) -> None:
        """Let go of what is held, if anything is."""

    def __enter__(self) -> Hold:
        try:
            self.take()
            return self
        except BaseException:
            self.let_go()
            raise

    def __exit__(self, *_: object) -> None:
        self.let_go()

    def __del__(self) -> None:
        with suppress(AttributeError):  # an __init__ that was interrupted
            self.let_go()

    def during(self, call: Callable[..., Result], *arguments: Any) -> Result:
        """Call a function while this is held."""
        with self, self:
            return call(*arguments)


class WriterLock:
    """A lock that the operating system releases when its holder ends, however it ends.

    It is an exclusive lock on a file, which each hold opens for itself: so it keeps out the other threads of this
    process as well as other processes. The same thread may take it again while it holds it.

    Args:
        directory: where the file is; None locks only among threads.
    """

    def __init__(self, directory: Directory | None) -> None:
        self.directory = directory
        self.reset()

    def reset(self) -> None:
        """Forget everything, in a child process: the descriptor that fork copied would keep the lock."""
        for hold in getattr(self, "holds", ()):
            hold.descriptor.close()
        self.holds: weakref.WeakSet[WriterHold] = weakref.WeakSet()
        self.holder: WriterHold | None = None
        self.threads = threading.Lock()

    def hold(self, timeout: float) -> Hold:
        """The lock, for a with statement.

        Raises:
            StoreLockedError: on entering, if somebody else holds it for longer than timeout seconds.
        """
        return WriterHold(self, timeout)

    def held_here(self) -> bool:
        """Whether this thread holds the lock."""
        holder = self.holder
        return holder is not None and holder.thread == threading.get_ident() and bool(holder.taken)


class WriterHold(Hold):
    """One hold of a WriterLock."""

    def __init__(self, lock: WriterLock, timeout: float) -> None:
        self.lock, self.timeout = lock, timeout
        self.descriptor = Descriptor()
        self.thread = 0
        self.taken: list[Any] = []  # the lock among threads, once it is held
        self.process = os.getpid()

    def take(self) -> None:
        if self.taken or self.lock.held_here():
            return
        deadline = time.monotonic() + self.timeout
        self.lock.holds.add(self)
        threads, longest = self.lock.threads, min(self.timeout, threading.TIMEOUT_MAX)
        # That it is held is noted in the same step of the interpreter that takes it: see Descriptor.
        self.taken.extend(compress([threads], map(threads.acquire, [True], [longest])))
        if not self.taken:
            raise StoreLockedError(_message("another thread of this process", self.timeout))
        if self.lock.directory is not None:
            self._take_file(self.lock.directory, deadline)
        self.thread = threading.get_ident()
        self.lock.holder = self

    def _take_file(self, directory: Directory, deadline: float) -> None:
        with translated(str(directory.path)):
            while True:
                self.descriptor.close()
                directory.check()
                self.descriptor = directory.create(NAME)
                while not _try_lock(int(self.descriptor)):
                    if time.monotonic() >= deadline:
                        raise StoreLockedError(
                            _message(f"another writer holds {directory.path / NAME} and", self.timeout)
                        )
                    time.sleep(RETRY_SECONDS)
                # Somebody may have removed the file while we waited: a lock on it would keep nobody out.
                found = directory.status(NAME)
                if found is not None and os.path.samestat(found, os.fstat(int(self.descriptor))):
                    return

    def let_go(self) -> None:
        if not self.taken or self.process != os.getpid():
            return
        self.descriptor.close()
        if self.lock.holder is self:
            self.lock.holder = None
        while self.taken:
            # Forgotten and released in one step: released twice, it could be another thread's.
            list(map(_RELEASE, map(list.pop, [self.taken])))


_RELEASE: Any = type(threading.Lock()).release


class ReadersWriter:
    """Many readers or one writer, for a catalogue in memory, which has one connection and no snapshots.

    It has no lock inside that an interrupt could leave locked. Each side first says that it is there and then looks for
    the other one: steps of the interpreter follow each other, so that two cannot overlook each other.
    """

    def __init__(self) -> None:
        self.readers: dict[object, int] = {}  # what reads, and its thread
        self.writer: object = None  # what writes, or waits to

    def reading(self, timeout: float) -> Hold:
        """Keep writers out. A thread that reads already may read again although a writer waits."""
        return ReaderHold(self, timeout)

    def writing(self, timeout: float) -> Hold:
        """Wait until the readers are gone and keep others out; writers exclude each other by WriterLock."""
        return AloneHold(self, timeout)


class ReaderHold(Hold):
    """One reader of a ReadersWriter."""

    def __init__(self, access: ReadersWriter, timeout: float) -> None:
        self.access, self.timeout = access, timeout

    def take(self) -> None:
        access, thread = self.access, threading.get_ident()
        if self in access.readers:
            return
        again = thread in list(access.readers.values())
        deadline = time.monotonic() + self.timeout
        access.readers[self] = thread
        while access.writer is not None and not again:
            del access.readers[self]
            if time.monotonic() >= deadline:
                raise StoreLockedError(_message("another thread of this process", self.timeout))
            time.sleep(RETRY_SECONDS)
            access.readers[self] = thread

    def let_go(self) -> None:
        self.access.readers.pop(self, None)


class AloneHold(Hold):
    """The writer of a ReadersWriter."""

    def __init__(self, access: ReadersWriter, timeout: float) -> None:
        self.access, self.timeout = access, timeout

    def take(self) -> None:
        if self.access.writer is self:
            return
        deadline = time.monotonic() + self.timeout
        self.access.writer = self
        while self.access.readers:
            if time.monotonic() >= deadline:
                raise StoreLockedError(_message("a reader in this process", self.timeout))
            time.sleep(RETRY_SECONDS)

    def let_go(self) -> None:
        if self.access.writer is self:
            self.access.writer = None


def _message(who: str, timeout: float) -> str:
    return (
        f"{who} did not finish within {timeout:g} s. Wait for it and call again, or open the collection with "
        "a longer timeout. A process that was killed leaves no lock behind."
    )
