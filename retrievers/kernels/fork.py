"""State of a process that its forked children begin anew."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from threading import Lock
from typing import Any, TypeVar
from weakref import WeakSet

State = TypeVar("State")


def per_process(make: Callable[[], State]) -> State:
    """An object whose attributes are made anew in each forked child.

    A child has its parent's memory, but of its threads only the one that forked. A lock that another thread held
    stays taken in the child for ever, and a pool waits for threads that are not there.

    Args:
        make: makes such an object; in a child, another one whose attributes replace those of the first.
    """
    state = make()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=lambda: vars(state).update(vars(make())))
    return state


class _Torch:
    left_behind = False  # whether torch's threads may have stayed in the process that forked this one


def let_torch_run() -> None:
    """What torch needs before it computes in a process that was forked when torch was loaded; call it each time.

    Torch's threads stay in the parent, and an operation that shares its work among them would wait for ever: the
    child computes in the thread that calls.
    """
    if _Torch.left_behind:
        import torch

        torch.set_num_threads(1)
        _Torch.left_behind = False


class Guard:
    """A lock to take by `with guard.lock:`.

    Taken in any other way, a lock may stay taken for ever: Ctrl-C raises KeyboardInterrupt between two steps of
    Python, also between the one that takes a lock and the one that begins a try. Within `with`, and where the lock
    itself is written in C, there is no such place.

    Args:
        make: makes the lock, Lock or RLock.
    """

    def __init__(self, make: Callable[[], Any] = Lock) -> None:
        self.make = make
        self.lock = make()


def awaited(make: Callable[[], Any] = Lock) -> Guard:
    """A guard of what a child cannot use when another thread was within it: a fork waits until none is.

    It waits PATIENCE seconds at most. The child has the lock anew.
    """
    guard = Guard(make)
    _awaited.add(guard)
    return guard


def let_finish(lock: Any, patience: float) -> None:
    """Wait, before this process forks, until no other thread holds a lock.

    The lock is given back at once: a thread may wait for it that itself holds what another part of this process waits
    for before it forks.

    Args:
        lock: a Lock or an RLock.
        patience: the most seconds to wait.
    """
    taken: list[bool] = []
    try:
        # All of this is one call in C: an interrupt cannot come after the lock was taken and before it was noted.
        taken.extend(filter(None, map(lock.acquire, (True,), (patience,))))
    finally:
        if taken:
            lock.release()


PATIENCE = 10.0  # seconds that a fork waits for another thread: longer than a model takes to load
_awaited: WeakSet[Guard] = WeakSet()


def _before() -> None:
    for guard in list(_awaited):
        let_finish(guard.lock, PATIENCE)


def _in_child() -> None:
    _Torch.left_behind = _Torch.left_behind or "torch" in sys.modules
    for guard in list(_awaited):
        guard.lock = guard.make()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_child=_in_child)
