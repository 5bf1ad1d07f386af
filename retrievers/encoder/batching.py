"""Which texts share a forward pass: groups of similar length whose padded size stays within a budget."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from retrievers import arguments
from retrievers.errors import InvalidInputError

# A forward pass costs about as much as that share of a batch does: once a group pads more, another is cheaper.
PADDING = 1 / 32
# Documents are padded to a multiple of so many tokens: oneDNN keeps a program for each shape that it meets, and
# with lengths as they come its memory grows over tens of thousands of texts. Measured: benchmarks/encoding.py memory.
LENGTH_STEP = 8
# Measured: benchmarks/encoding.py. On a processor what a batch computes has to stay in its cache, so the tokens
# are half as many where each takes twice the bytes.
CPU_TOKEN_BUDGET = {"float32": 1 << 10, "bfloat16": 1 << 11, "float16": 1 << 11}
GPU_TOKEN_BUDGET = 1 << 15


def batches(lengths: Sequence[int], budget: int, padding: float = PADDING) -> list[list[int]]:
    """Group texts by length so that no group's size exceeds the budget, nor its padding a small share of it.

    Longest first, so that the largest allocation comes first and a device that is too small fails at once.

    Args:
        lengths: tokens of each text.
        budget: most tokens of a group, padding included. A text that is longer goes by itself.
        padding: most of a group that may be padding, as a share of the budget; with 0 all of a group are as long.
    Returns:
        Positions in lengths, each exactly once.
    """
    groups: list[list[int]] = []
    longest = padded = 0
    for position in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        padded += longest - lengths[position]
        if groups and (len(groups[-1]) + 1) * longest <= budget and padded <= padding * budget:
            groups[-1].append(position)
        else:
            groups.append([position])
            longest, padded = max(lengths[position], 1), 0
    return groups


def buffered(texts: Iterable[str], size: Callable[[str], int], limit: int) -> Iterator[list[str]]:
    """Cut a stream into lists, each ending with the text that brings its total size to the limit.

    Args:
        texts: read no further ahead than the list that is being filled.
        size: cost of a text in the unit of the limit.
        limit: total at which a list is handed on.
    """
    buffer: list[str] = []
    total = 0
    for text in texts:
        buffer.append(text)
        total += size(text)
        if total >= limit:
            yield buffer
            buffer, total = [], 0
    if buffer:
        yield buffer


def looked_at(values: Iterable[str]) -> Iterator[str]:
    """Texts one by one, each looked at when its turn comes.

    Raises:
        InvalidTypeError, InvalidInputError: it is no text; see retrievers.arguments.text.
    """
    for place, value in enumerate(arguments.each(values, "texts", "text")):
        yield arguments.text(value, f"the text at place {place}")


def budget_of(asked: int | None, dtype: str, device: str) -> int:
    """Tokens of a batch: those asked for, else what was measured to be fastest.

    Args:
        dtype: number format, as torch names it.
        device: as torch names it.
    Raises:
        InvalidInputError: fewer than 1 were asked for.
    """
    budget = asked or (CPU_TOKEN_BUDGET.get(dtype, 1 << 10) if device == "cpu" else GPU_TOKEN_BUDGET)
    if budget < 1:
        raise InvalidInputError(f"token_budget is {asked}; it must be at least 1.")
    return budget
