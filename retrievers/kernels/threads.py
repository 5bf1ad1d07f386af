"""Threads that help a caller with native work, and turns for callers."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from threading import BoundedSemaphore, Lock


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def share(work: Callable[[], object], helpers: int) -> None:
    """Run `work` in this thread and in up to `helpers` others; return when every run has ended.

    `work` takes from a common stock until nothing is left and must not call share. Helpers that are busy
    elsewhere are not waited for: the caller does their part, so no number of callers can block another.

    Args:
        work: releases the GIL, and holds references to all that it reads and writes.
        helpers: threads besides this one.
    """
    others = _submit(work, helpers)
    try:
        work()
    finally:
        for other in others:
            if not other.cancel():
                other.result()


def turn() -> AbstractContextManager[object]:
    """A context that holds no more callers at once than there are cores; the others wait outside.

    Dozens of threads that search at once would fight for the interpreter and for the caches: 32 on 2 cores
    answered half as many questions a second as 2 do.
    """
    return _turns


def _submit(work: Callable[[], object], helpers: int) -> list[Future[object]]:
    try:
        return [_executor().submit(work) for _ in range(helpers)]
    except RuntimeError:  # the interpreter is ending and starts no more threads
        return []


_lock = Lock()
_pool: ThreadPoolExecutor | None = None
_turns = BoundedSemaphore(cores())


def _executor() -> ThreadPoolExecutor:
    global _pool
    if _pool is None:
        with _lock:
            if _pool is None:
                _pool = ThreadPoolExecutor(max(1, cores() - 1), thread_name_prefix="retrievers")
    return _pool


def _forget() -> None:
    # A forked child has the pool's object, but none of its threads, and the locks as other threads held them.
    global _lock, _pool, _turns
    _lock, _pool, _turns = Lock(), None, BoundedSemaphore(cores())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
