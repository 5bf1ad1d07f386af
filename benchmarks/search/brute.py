"""Brute force as a careful user would write it, and the two libraries that do it for him."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.search.data import Passages
from benchmarks.search.engine import THREADS, Engine, best

BLOCK = 4096
"""Tokens whose products numpy keeps in the second-level cache between product and maximum."""


class Brute(Engine):
    """All token rows in one array; a product with the question, and a maximum a passage.

    An engine may know several ways to compute the same scores. It tries each on a few questions when it is
    opened, and keeps the fastest.
    """

    kept = False
    ways: tuple[str, ...] = ("scores",)

    def open(self, passages: Passages, count: int, index: Path) -> None:
        self.questions = passages.questions()
        self.offsets = np.asarray(passages.offsets[: count + 1])
        self.order = np.argsort(np.diff(self.offsets), kind="stable")
        self.place = np.empty(count, np.int64)
        self.place[self.order] = np.arange(count)
        self.load(list(passages.matrices(0, count)))
        self.took = took = {}
        for name in self.ways:
            way: Callable[[NDArray], NDArray] = getattr(self, name)
            times = []
            for question in self.questions[:6]:
                begin = time.perf_counter()
                way(question)
                times.append(time.perf_counter() - begin)
            took[name] = float(np.median(times[1:]))
        self.chosen = min(took, key=lambda name: took[name])
        self.way = getattr(self, self.chosen)

    def load(self, matrices: list[NDArray[np.float32]]) -> None:
        raise NotImplementedError

    def search(self, question: int, k: int, **options: Any) -> NDArray:
        return best(self.way(self.questions[question]), k)

    def note(self) -> str:
        if len(self.ways) == 1:
            return ""
        others = [f"{name} {1e3 * self.took[name]:.0f} ms" for name in self.ways if name != self.chosen]
        return f"{self.chosen}, as {', '.join(others)}".replace("_", " ")

    def by_length(self) -> list[tuple[int, int, int, int, int]]:
        """Runs of passages of equal length, once sorted: first and last token, first and last passage, length."""
        lengths, counts = np.unique(np.diff(self.offsets), return_counts=True)
        passages, tokens = np.append(0, np.cumsum(counts)), np.append(0, np.cumsum(counts * lengths))
        return [
            (int(a), int(b), int(c), int(d), int(length))
            for (a, b), (c, d), length in zip(pairwise(tokens), pairwise(passages), lengths, strict=True)
        ]


class Numpy(Brute):
    """float32, block by block, so that products are still in the cache when their maximum is taken."""

    ways = ("blocks", "two_threads")

    def load(self, matrices: list[NDArray[np.float32]]) -> None:
        self.tokens = np.concatenate(matrices)
        cuts = [0]
        for n in range(len(matrices)):
            if self.offsets[n + 1] - self.offsets[cuts[-1]] > BLOCK and n > cuts[-1]:
                cuts.append(n)
        self.blocks_of = list(pairwise([*cuts, len(matrices)]))
        self.pool = ThreadPoolExecutor(THREADS)

    def _score(self, blocks: list[tuple[int, int]], query: NDArray, scores: NDArray) -> None:
        for a, b in blocks:
            first, last = self.offsets[a], self.offsets[b]
            products = self.tokens[first:last] @ query.T
            scores[a:b] = np.maximum.reduceat(products, self.offsets[a:b] - first, axis=0).sum(axis=1)

    def blocks(self, query: NDArray[np.float32]) -> NDArray[np.float32]:
        scores = np.empty(len(self.offsets) - 1, np.float32)
        self._score(self.blocks_of, query, scores)
        return scores

    def two_threads(self, query: NDArray[np.float32]) -> NDArray[np.float32]:
        """The same on two Python threads with a single-threaded product each."""
        from threadpoolctl import threadpool_limits

        scores = np.empty(len(self.offsets) - 1, np.float32)
        with threadpool_limits(1, user_api="blas"):
            parts = [self.blocks_of[n::THREADS] for n in range(THREADS)]
            list(self.pool.map(lambda part: self._score(part, query, scores), parts))
        return scores


class Torch(Brute):
    """One product with all token rows, then the maximum of each passage."""

    ways = ("segments", "equal_lengths", "equal_lengths_transposed")
    dtype = "float32"

    def load(self, matrices: list[NDArray[np.float32]]) -> None:
        import torch

        torch.set_num_threads(THREADS)
        dtype = getattr(torch, self.dtype)
        self.tokens = torch.from_numpy(np.concatenate(matrices)).to(dtype)
        ordered = torch.from_numpy(np.concatenate([matrices[n] for n in self.order])).to(dtype)
        self.sorted, self.transposed = ordered, ordered.T.contiguous()
        self.bounds = torch.from_numpy(self.offsets)
        self.runs = self.by_length()
        # The products are written over and over into one buffer: fresh memory costs a page fault a page.
        self.buffer = torch.empty(len(ordered) * max(map(len, self.questions)), dtype=dtype)

    def segments(self, query: NDArray[np.float32]) -> NDArray[np.float32]:
        import torch

        products = self.tokens @ torch.from_numpy(query).to(self.tokens.dtype).T
        return torch.segment_reduce(products.float(), "max", offsets=self.bounds, axis=0).sum(1).numpy()

    def equal_lengths(self, query: NDArray[np.float32]) -> NDArray[np.float32]:
        """Passages sorted by length, so that each run of equal lengths is a block without padding."""
        import torch

        given = torch.from_numpy(query).to(self.sorted.dtype)
        products = self.buffer[: len(self.sorted) * len(given)].view(len(self.sorted), len(given))
        torch.mm(self.sorted, given.T, out=products)
        scores = torch.empty(len(self.place))
        for a, b, c, d, length in self.runs:
            scores[c:d] = products[a:b].view(d - c, length, -1).amax(1).float().sum(1)
        return scores.numpy()[self.place]

    def equal_lengths_transposed(self, query: NDArray[np.float32]) -> NDArray[np.float32]:
        """The same with a query token a row, so that the maximum runs along memory."""
        import torch

        given = torch.from_numpy(query).to(self.sorted.dtype)
        products = self.buffer[: len(self.sorted) * len(given)].view(len(given), len(self.sorted))
        torch.mm(given, self.transposed, out=products)
        scores = torch.empty(len(self.place))
        for a, b, c, d, length in self.runs:
            scores[c:d] = products[:, a:b].view(len(given), d - c, length).amax(2).float().sum(0)
        return scores.numpy()[self.place]


class TorchBf16(Torch):
    dtype = "bfloat16"


class MaxsimCpu(Brute):
    """The package maxsim-cpu, given the passages as a list.

    Version 0.1.0 returns wrong scores, some of them infinite, for questions of more than 32 tokens: longer ones
    are scored in parts, whose scores add up to the same.
    """

    def load(self, matrices: list[NDArray[np.float32]]) -> None:
        self.matrices = matrices

    def scores(self, query: NDArray[np.float32]) -> NDArray[np.float32]:
        import maxsim_cpu

        parts = [query[n : n + 32] for n in range(0, len(query), 32)]
        scores = [np.asarray(maxsim_cpu.maxsim_scores_variable(part, self.matrices)) for part in parts]
        return np.sum(scores, axis=0)

    def note(self) -> str:
        return version("maxsim-cpu")


class SentenceTransformers(Brute):
    """What MultiVectorEncoder.similarity calls."""

    def load(self, matrices: list[NDArray[np.float32]]) -> None:
        import torch

        torch.set_num_threads(THREADS)
        self.matrices = [torch.from_numpy(matrix) for matrix in matrices]

    def scores(self, query: NDArray[np.float32]) -> NDArray[np.float32]:
        import torch
        from sentence_transformers.util import maxsim

        return maxsim([torch.from_numpy(query)], self.matrices)[0].numpy()

    def note(self) -> str:
        return version("sentence-transformers")
