"""Random ragged windows and queries for the kernels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from retrievers.kernels.rows import quantize

DIMS = (4, 6, 16, 20, 48, 64, 96, 128, 384)


@dataclass
class Case:
    """Arguments of a scan."""

    rows: np.ndarray
    scales: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    queries: list[np.ndarray]

    def __iter__(self):
        return iter((self.rows, self.scales, self.starts, self.ends, self.queries))


def unit(matrix):
    return (matrix / np.linalg.norm(matrix, axis=1, keepdims=True)).astype(np.float32)


def make_case(seed, dim, lengths, query_lengths, gaps=0, bits=8):
    """Windows of the given lengths with up to `gaps` rows between them, in random order."""
    rng = np.random.default_rng(seed)
    lengths = np.array(lengths, np.int64)
    ends = np.cumsum(lengths + rng.integers(0, gaps + 1, len(lengths)))
    order = rng.permutation(len(lengths))
    tokens = int(ends.max(initial=0)) + 1
    rows, scales = quantize(unit(rng.standard_normal((tokens, dim))), bits)
    queries = [
        unit(rng.standard_normal((n, dim))) if n else np.zeros((0, dim), np.float32) for n in query_lengths
    ]
    return Case(rows, scales, (ends - lengths)[order], ends[order], queries)


of_any_width = {
    "seed": st.integers(0, 2**32 - 1),
    "lengths": st.lists(st.integers(0, 70), max_size=25),
    "query_lengths": st.lists(st.integers(0, 70), max_size=4),
    "gaps": st.integers(0, 9),
}
cases = st.builds(make_case, dim=st.sampled_from(DIMS), **of_any_width)
cases_of_4_bits = st.builds(
    make_case, dim=st.sampled_from((4, 20, 128, 384)), bits=st.just(4), **of_any_width
)
