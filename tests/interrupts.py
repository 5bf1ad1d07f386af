"""Ctrl-C at a chosen place: KeyboardInterrupt is raised where a line of some function would begin."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any


def lines(function: Callable[..., Any]) -> list[str]:
    """The lines of a function's body that an interrupt can come before, as text."""
    source, first = inspect.getsourcelines(function)
    numbers = {line for _, _, line in _code(function).co_lines() if line is not None and line > first}
    return [source[number - first].strip() for number in sorted(numbers)]


@contextmanager
def interrupted_before(function: Callable[..., Any], line: str) -> Iterator[list[str]]:
    """Interrupt this thread where the function would begin a line, once; the list has the line if it came to that."""
    source, first = inspect.getsourcelines(function)
    places = {first + place for place, text in enumerate(source) if text.strip() == line}
    assert places, f"{function.__name__} has no line {line!r}"
    code, happened = _code(function), list[str]()

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        if frame.f_code is not code:
            return None if event == "call" else trace
        if event == "line" and frame.f_lineno in places and not happened:
            happened.append(line)
            raise KeyboardInterrupt(line)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield happened
    except KeyboardInterrupt:
        if not happened:
            raise
    finally:
        sys.settrace(before)


def _code(function: Callable[..., Any]) -> CodeType:
    return inspect.unwrap(function).__code__
