"""What open catalogues do when their process forks."""

from __future__ import annotations

import os
import threading
import weakref
from typing import Protocol


class Forked(Protocol):
    """Something that must be whole in the child, and whose locks must not be."""

    def before_fork(self) -> None: ...
    def after_fork_in_parent(self) -> None: ...
    def after_fork_in_child(self) -> None: ...


_watched: weakref.WeakSet[Forked] = weakref.WeakSet()
_still: list[Forked] = []  # what before_fork was called for: another thread may open a catalogue meanwhile
_forking = threading.Lock()  # one fork at a time


def watch(catalog: Forked) -> None:
    """Call a catalogue's methods around each fork, for as long as it lives."""
    _watched.add(catalog)


def _before() -> None:
    _forking.acquire()
    for catalog in list(_watched):
        catalog.before_fork()
        _still.append(catalog)


def _in_parent() -> None:
    while _still:
        _still.pop().after_fork_in_parent()
    _forking.release()


def _in_child() -> None:
    global _forking
    _forking = threading.Lock()
    _still.clear()
    for catalog in list(_watched):
        catalog.after_fork_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
