"""Threads that help a caller with native work."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock


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


def _submit(work: Callable[[], object], helpers: int) -> list[Future[object]]:
    try:
        return [_executor().submit(work) for _ in range(helpers)]
    except RuntimeError:  # the interpreter is ending and starts no more threads
        return []


_lock = Lock()
_pool: ThreadPoolExecutor | None = None


def _executor() -> ThreadPoolExecutor:
    global _pool
    if _pool is None:
        with _lock:
            if _pool is None:
                _pool = ThreadPoolExecutor(max(1, cores() - 1), thread_name_prefix="retrievers")
    return _pool


def _forget() -> None:
    # A forked child has the pool's object, but none of its threads, and the lock as another thread held it.
    global _lock, _pool
    _lock, _pool = Lock(), None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
