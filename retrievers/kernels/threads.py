"""Threads that help a caller with native work, and the turns that callers take."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from functools import cache
from queue import SimpleQueue
from threading import get_native_id
from typing import cast

from retrievers.kernels.fork import Guard, per_process

# Multiplications that take 40 to 80 microseconds: a helper that is called for fewer comes too late.
WORTH_A_THREAD = 1 << 25


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def helpers(multiplications: int) -> int:
    """Threads, besides the caller's, that are worth waking for so many multiplications."""
    return min(cores() - 1, multiplications // WORTH_A_THREAD)


def share(work: Callable[[], object], others: int) -> None:
    """Run `work` in this thread and in up to `others`; return when every run has ended.

    `work` takes pieces from a common stock until none is left, and must not call share. Helpers that are busy with
    another caller's work are not waited for: the caller does their part, so no number of callers can block another.

    Args:
        work: releases the GIL, and holds references to all that it reads and writes.
        others: threads besides this one.
    """
    me = object()
    try:
        if others > 0:
            # The helpers of one caller alone are moved about: those of another may be in the middle of its work.
            with _state.lock:
                if not _state.steering:
                    _state.steering.add(me)
            if me in _state.steering:
                _keep_apart()
        runs = _submit(work, others)
        try:
            work()
        finally:
            for run in runs:
                if not run.cancel():
                    run.result()
    finally:
        # One call of a method in C, also where nothing was added: an interrupt comes before all this or after it.
        _state.steering.discard(me)


def turn() -> AbstractContextManager[object]:
    """A context that holds no more callers at once than there are cores; the others wait outside.

    Dozens of threads that search at once would fight for the interpreter and for the caches: 32 on 2 cores
    answered half as many questions a second as 2 do.
    """
    return cast(AbstractContextManager[object], _state.turns)


class _Turns(SimpleQueue[object]):
    """As many places as there may be callers: `with` takes one, and waits for it where none is left.

    threading.Semaphore is written in Python, so that Ctrl-C may come after a place was taken and before the block
    began, and the place would be lost for ever. Both methods here are written in C: there is no such moment.
    """

    def __init__(self, places: int) -> None:
        super().__init__()
        for _ in range(places):
            self.put(None)

    __enter__ = SimpleQueue.get
    __exit__ = SimpleQueue.put  # what it puts is the error of the block, or None; any object is a place


def _submit(work: Callable[[], object], count: int) -> list[Future[object]]:
    try:
        return [_executor().submit(work) for _ in range(count)]
    except RuntimeError:  # the interpreter is ending and starts no more threads
        return []


def _keep_apart() -> None:
    """Bar the helpers from the core that the caller runs on.

    Linux likes to wake a thread where the one that wakes it runs. After some idle time it put both on one core
    and left them there for dozens of scans of a millisecond each, with the other core idle.
    """
    here = _core()
    if here == _state.barred:
        return
    # The process's cores, not the caller's: a caller that is tied to a few ties nobody else to them.
    others = os.sched_getaffinity(os.getpid()) - {here}
    if others:
        for helper in _state.numbers:
            with suppress(OSError):  # a thread that has ended or may not be moved helps from where it is
                os.sched_setaffinity(helper, others)
        _state.barred = here


def _core() -> int:
    """Number of the core that this thread runs on; -1 where the system does not tell."""
    ask = _ask_for_core()
    return -1 if ask is None else ask()


@cache
def _ask_for_core() -> Callable[[], int] | None:
    if not hasattr(os, "sched_setaffinity"):
        return None
    return getattr(ctypes.PyDLL(None), "sched_getcpu", None)


class _State(Guard):
    """The helpers of this process, and who may use them."""

    def __init__(self) -> None:
        super().__init__()
        self.pool: ThreadPoolExecutor | None = None
        self.turns = _Turns(cores())
        self.steering: set[object] = set()  # the caller that may move helpers about, if there is one
        self.numbers: list[int] = []  # of the pool's threads, as the system counts them
        self.barred = -1  # the core that they were last barred from


_state = per_process(_State)


def _executor() -> ThreadPoolExecutor:
    if _state.pool is None:
        with _state.lock:
            if _state.pool is None:
                _state.pool = ThreadPoolExecutor(
                    max(1, cores() - 1), thread_name_prefix="retrievers", initializer=_enlist
                )
    return _state.pool


def _enlist() -> None:
    _state.numbers.append(get_native_id())
    _state.barred = -1  # so that the new thread is barred from that core, too
