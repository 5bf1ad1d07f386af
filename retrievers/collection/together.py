"""Searches that wait for their turn at the same time, and that ask alike, are answered by one scan.

A scan of several questions reads the stored rows once for all. Whoever has its turn takes all that wait: nobody waits
for others to come.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

from retrievers.kernels.fork import Guard, per_process
from retrievers.kernels.threads import turn

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")

MOST = 32  # questions of one scan


@dataclass(eq=False, slots=True)
class _Search:
    asked: Any
    answer: Future[Any] = field(default_factory=Future)


def together(
    key: Hashable, asked: Sequence[Asked], scan: Callable[[Sequence[Asked]], Sequence[Answer]]
) -> Sequence[Answer]:
    """The answers to questions; one alone is answered with those of other threads that wait under the same key.

    An error that another thread's question causes does not come here.

    Args:
        key: what the questions have in common: what is searched, and how.
        asked: the questions.
        scan: answers some questions, in their order; that of any thread serves for all of the key.
    """
    if len(asked) == 1:
        return [_with_others(key, asked[0], scan)]
    with turn():
        return scan(asked)


def _with_others(key: Hashable, asked: Asked, scan: Callable[[Sequence[Asked]], Sequence[Answer]]) -> Answer:
    search = _Search(asked)
    try:
        with _state.lock:
            _state.waiting.setdefault(key, []).append(search)
        with turn():
            _answer(_taken(key, search), scan)
        return search.answer.result()  # type: ignore[no-any-return]
    except CancelledError:  # whoever had taken it was stopped
        with turn():
            return scan([asked])[0]
    finally:
        with _state.lock:
            left = [one for one in _state.waiting.pop(key, []) if one is not search]
            if left:
                _state.waiting[key] = left


def _taken(key: Hashable, search: _Search) -> list[_Search]:
    """The searches that are answered with this one; none where another thread has taken it."""
    with _state.lock:
        waiting = _state.waiting.get(key, [])
        if search not in waiting:
            return []
        # Ctrl-C comes to the main thread, between any two steps: so it answers nobody but itself.
        alone = threading.current_thread() is threading.main_thread()
        taken = [search] if alone else [search, *(one for one in waiting if one is not search)][:MOST]
        left = [one for one in waiting if one not in taken]
        _state.waiting.pop(key)
        if left:
            _state.waiting[key] = left
    return taken


def _answer(searches: Sequence[_Search], scan: Callable[[Sequence[Any]], Sequence[Any]]) -> None:
    try:
        if searches:
            _set(searches, scan)
    finally:
        for one in searches:
            one.answer.cancel()  # does nothing to what has its answer


def _set(searches: Sequence[_Search], scan: Callable[[Sequence[Any]], Sequence[Any]]) -> None:
    try:
        answers = scan([one.asked for one in searches])
    except Exception as error:
        if len(searches) == 1:
            searches[0].answer.set_exception(error)
        else:
            for one in searches:  # each by itself: an error belongs to one of them
                _set([one], scan)
        return
    for one, answer in zip(searches, answers, strict=True):
        one.answer.set_result(answer)


class _State(Guard):
    """The searches of this process that wait."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: dict[Hashable, list[_Search]] = {}


_state = per_process(_State)
