"""How much one request holds: a server refuses a body of more than 32 MiB, unless it is told otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

BATCH_BYTES = 16 << 20  # of a request, about


def split(items: Sequence[Any], sizes: Sequence[int]) -> Iterator[range]:
    """Places of items, in runs that one request holds; an item that is larger goes alone.

    Args:
        sizes: bytes of each item, about.
    """
    first, total = 0, 0
    for place, size in enumerate(sizes):
        if place > first and total + size > BATCH_BYTES:
            yield range(first, place)
            first, total = place, 0
        total += size
    if first < len(items):
        yield range(first, len(items))
