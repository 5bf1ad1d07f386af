"""What a number of candidates finds, from all scores of all windows: no server is asked for it again and again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import qdrant_edge as edge
from numpy.typing import NDArray

from benchmarks.qdrant.data import Pool
from retrievers.kernels.rows import quantize
from retrievers.search import score
from retrievers.types import TokenMatrix

TOP = 10
PART = 1000  # windows that are scored together


@dataclass(frozen=True)
class Scores:
    """Every question's scores.

    Attributes:
        exact: float32, (questions, windows): MaxSim over 8-bit rows, as a directory computes it.
        pooled: float32, (windows, dim): the mean of each window's rows at length 1.
        owners: int64, (windows,): which document each window is of.
        asked: float32, (questions, dim): the mean of each question's rows at length 1.
    """

    exact: NDArray[np.float32]
    pooled: NDArray[np.float32]
    owners: NDArray[np.int64]
    asked: NDArray[np.float32]


def scores(pool: Pool, owners: NDArray[np.int64], queries: Sequence[TokenMatrix]) -> Scores:
    """Score all windows for all questions, a thousand windows at a time."""
    exact = np.empty((len(queries), len(pool)), np.float32)
    pooled = np.empty((len(pool), queries[0].shape[1]), np.float32)
    source = pool.matrices()
    first = 0
    while part := list(islice(source, PART)):
        pooled[first : first + len(part)] = [mean(matrix) for matrix in part]
        rows, scales = quantize(np.concatenate(part))
        ends = np.cumsum([len(matrix) for matrix in part])
        starts = ends - [len(matrix) for matrix in part]
        for place, found in enumerate(score(rows, scales, starts, ends, queries)):
            exact[place, first : first + len(part)] = found
        first += len(part)
    return Scores(exact, pooled, owners, np.array([mean(matrix) for matrix in queries], np.float32))


def mean(matrix: TokenMatrix) -> NDArray[np.float32]:
    middle = matrix.mean(axis=0)
    return (middle / max(float(np.linalg.norm(middle)), 1e-9)).astype(np.float32)


def first_stage(found: Scores, most: int, directory: Path) -> NDArray[np.int64]:
    """The windows that Qdrant's engine gives for each question by its graph over the pooled vectors, best first.

    Returns:
        int64, (questions, most).
    """
    dim = found.pooled.shape[1]
    vectors = {"pooled": edge.EdgeVectorParams(dim, edge.Distance.Dot)}
    shard = edge.EdgeShard.create(str(directory), edge.EdgeConfig(vectors))
    for first in range(0, len(found.pooled), 1000):
        part = found.pooled[first : first + 1000]
        points = [edge.Point(first + place, {"pooled": one.tolist()}, {}) for place, one in enumerate(part)]
        shard.update(edge.UpdateOperation.upsert_points(points))
    shard.optimize()
    made = []
    for question in found.asked:
        query = edge.Query.Nearest(question.tolist(), using="pooled")
        made.append([one.id for one in shard.query(edge.QueryRequest(limit=most, query=query))])
    shard.close()
    return np.array(made, np.int64)


def best(
    exact: NDArray[np.float32], owners: NDArray[np.int64], windows: NDArray[np.int64] | None
) -> list[int]:
    """The TOP documents of a question, each by its best window, of all windows or of some."""
    chosen = np.arange(len(owners)) if windows is None else windows
    seen: dict[int, None] = {}
    for place in np.argsort(-exact[chosen], kind="stable"):
        seen.setdefault(int(owners[chosen[place]]))
        if len(seen) == TOP:
            break
    return list(seen)


def ndcg(ranked: Sequence[int], relevant: set[int]) -> float:
    """nDCG@10 with relevance 0 or 1 (Järvelin and Kekäläinen 2002)."""
    gains = sum(1 / np.log2(place + 2) for place, one in enumerate(ranked[:TOP]) if one in relevant)
    ideal = sum(1 / np.log2(place + 2) for place in range(min(len(relevant), TOP)))
    return float(gains / ideal)
