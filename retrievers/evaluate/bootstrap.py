"""How sure a difference of means over the same questions is: the paired bootstrap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DRAWS = 10_000


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean, and where it lies with a probability of 95 %.

    Attributes:
        mean: of the differences.
        low, high: the ends of the interval.
    """

    mean: float
    low: float
    high: float

    @property
    def sure(self) -> bool:
        """Whether 0 lies outside, so that the difference is more than noise."""
        return self.low > 0 or self.high < 0

    def __str__(self) -> str:
        """In thousandths: +31 [19, 43]."""
        return f"{1000 * self.mean:+.0f} [{1000 * self.low:.0f}, {1000 * self.high:.0f}]"


def paired(before: NDArray[np.float64], after: NDArray[np.float64], *, seed: int = 0) -> Interval:
    """How much better a system is than another on the same questions.

    Args:
        before, after: a measure of each question, float64, (questions,).
        seed: of the draws.
    References:
        Sakai, Evaluating Evaluation Metrics Based on the Bootstrap, SIGIR 2006.
    """
    differences = after - before
    if not len(differences):
        return Interval(0.0, 0.0, 0.0)
    rng = np.random.default_rng(seed)
    means = np.array(
        [differences[rng.integers(0, len(differences), len(differences))].mean() for _ in range(DRAWS)]
    )
    low, high = np.percentile(means, [2.5, 97.5])
    return Interval(float(differences.mean()), float(low), float(high))
