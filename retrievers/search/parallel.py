"""Ranges of an array, and one function called for each of them on several threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Lock
from typing import TypeVar

from retrievers.kernels.threads import cores, share

Result = TypeVar("Result")


def ranges(total: int, parts: int, multiple: int = 1) -> list[tuple[int, int]]:
    """At most `parts` ranges (first, last) that cover 0 to total, each start a multiple of `multiple`."""
    size = -(-max(total, 1) // (max(parts, 1) * multiple)) * multiple
    return [(first, min(first + size, total)) for first in range(0, total, size)]


def map_ranges(work: Callable[[int, int], Result], parts: Sequence[tuple[int, int]]) -> list[Result]:
    """Call work(first, last) for each range, on all cores; returns the results in the order of the ranges.

    Args:
        work: spends its time without the GIL, and calls neither this nor share.
    """
    results: list[Result | None] = [None] * len(parts)
    stock, lock = iter(enumerate(parts)), Lock()

    def run() -> None:
        while True:
            with lock:
                number, part = next(stock, (-1, (0, 0)))
            if number < 0:
                return
            results[number] = work(*part)

    share(run, min(cores(), len(parts)) - 1)
    return results  # type: ignore[return-value]  # every part was worked on
