"""What the commands write: the one place that prints, so that no text or id reaches a terminal as it came."""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO, TypeAlias

from retrievers.display import printable


def say(text: str, stream: TextIO | None = None) -> None:
    """Print lines of text. Control characters are escaped, and so is what the console's encoding cannot hold.

    Args:
        text: lines, each of which may hold anything that a stranger's text or file name may hold.
        stream: standard output by default.
    """
    say_safe("\n".join(printable(line) for line in text.split("\n")), stream)


def say_safe(safe: str, stream: TextIO | None = None) -> None:
    """Print lines whose texts are escaped already, so that the colours between them stay."""
    stream = sys.stdout if stream is None else stream
    encoding = getattr(stream, "encoding", None) or "utf-8"
    print(safe.encode(encoding, "backslashreplace").decode(encoding), file=stream)


def warn(text: str) -> None:
    """Print on standard error."""
    say(text, sys.stderr)


@contextmanager
def warnings_as_lines() -> Iterator[None]:
    """Inside, a warning is a line on standard error: what was said, without the place in the code that said it."""

    def show(message: Warning | str, *_: object) -> None:
        warn(f"warning: {message}")

    with warnings.catch_warnings():
        warnings.showwarning = show  # type: ignore[assignment]
        yield


def say_json(value: Any) -> None:
    """Print a value as one JSON object on one line, in printable ASCII alone."""
    print(json.dumps(value, ensure_ascii=True, allow_nan=False))


class Parser(argparse.ArgumentParser):
    """A parser whose messages, which repeat what was typed, go the same way."""

    def _print_message(self, message: str, file: Any = None) -> None:
        if message:
            say(message.removesuffix("\n"), sys.stderr if file is None else file)


Commands: TypeAlias = "argparse._SubParsersAction[Parser]"
