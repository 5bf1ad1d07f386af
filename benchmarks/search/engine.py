"""What every engine of the benchmark can be asked to do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from benchmarks.search.data import Passages

THREADS = 2


class Engine:
    """One way to find the best passages for a question.

    An engine lives in a process of its own: build in one, open and search in another. Passages are numbered
    in the order of the set; those that are added later go on from there.

    Attributes:
        kept: True if the index is a directory that another process can open; otherwise open builds it in
            memory, and add and delete are not asked for.
    """

    kept = True

    def build(self, passages: Passages, count: int, index: Path) -> None:
        """Index the first `count` passages."""

    def open(self, passages: Passages, count: int, index: Path) -> None:
        """Get ready to search."""
        raise NotImplementedError

    def search(self, question: int, k: int, **options: Any) -> Any:
        """The k best passages for one question, in whatever form this engine has them. This is timed."""
        raise NotImplementedError

    def search_all(self, questions: Sequence[int], k: int, **options: Any) -> list[Any]:
        """The same for many questions in one call, where the engine has such a call."""
        return [self.search(question, k, **options) for question in questions]

    def numbers(self, found: Any) -> list[int]:
        """The passages' numbers, best first. This is not timed."""
        return [int(n) for n in found]

    def add(self, first: int, last: int) -> None:
        """Add passages first to last - 1 of the set."""
        raise NotImplementedError

    def delete(self, first: int, last: int) -> None:
        """Delete what add added."""
        raise NotImplementedError

    def note(self) -> str:
        """What a reader of the table should know: a version, a way that was chosen."""
        return ""


def best(scores: NDArray, k: int) -> NDArray:
    """Positions of the k largest scores, largest first."""
    chosen = scores.argpartition(-k)[-k:]
    return chosen[(-scores[chosen]).argsort(kind="stable")]
