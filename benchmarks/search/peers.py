"""Other engines, each in an environment of its own; see install.py."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.search.data import Passages
from benchmarks.search.engine import THREADS, Engine


class Peer(Engine):
    """A peer keeps the ids of its own; ours are positions in the order of insertion, as theirs are."""

    package = ""

    def note(self) -> str:
        return version(self.package)

    def _tensors(self, first: int, last: int) -> list[Any]:
        import torch

        return [torch.from_numpy(matrix) for matrix in self.passages.matrices(first, last)]

    def _prepare(self, passages: Passages) -> None:
        import torch

        torch.set_num_threads(THREADS)
        self.passages = passages
        self.questions = [torch.from_numpy(question) for question in passages.questions()]


class FastPlaid(Peer):
    """FastPlaid 1.7: centroids, inverted lists, 4-bit residuals."""

    package = "fast-plaid"

    def build(self, passages: Passages, count: int, index: Path) -> None:
        self.open(passages, count, index)
        self.engine.create(self._tensors(0, count))

    def open(self, passages: Passages, count: int, index: Path) -> None:
        from fast_plaid.search import FastPlaid as Index

        self._prepare(passages)
        self.engine = Index(str(index), device="cpu")

    def search(self, question: int, k: int, **options: Any) -> Any:
        return self.search_all([question], k, **options)[0]

    def search_all(self, questions: Sequence[int], k: int, **options: Any) -> list[Any]:
        chosen = [self.questions[question] for question in questions]
        return self.engine.search(chosen, top_k=k, show_progress=False, **options)

    def numbers(self, found: Any) -> list[int]:
        return [int(n) for n, _ in found]

    def add(self, first: int, last: int) -> None:
        self.engine.update(self._tensors(first, last))

    def delete(self, first: int, last: int) -> None:
        self.engine.delete(list(range(first, last)))


class XtrWarp(Peer):
    """xtr-warp-rs 2.1: the WARP engine, which scores from the probed lists and imputes what it did not see."""

    package = "xtr-warp-rs"

    def build(self, passages: Passages, count: int, index: Path) -> None:
        from xtr_warp import XTRWarp as Index

        self._prepare(passages)
        Index(str(index)).create(self._tensors(0, count), device="cpu", show_progress=False)

    def open(self, passages: Passages, count: int, index: Path) -> None:
        from xtr_warp import XTRWarp as Index

        self._prepare(passages)
        self.engine = Index(str(index))
        self.engine.load("cpu")

    def search(self, question: int, k: int, **options: Any) -> Any:
        return self.search_all([question], k, **options)[0]

    def search_all(self, questions: Sequence[int], k: int, **options: Any) -> list[Any]:
        chosen = [self.questions[question] for question in questions]
        return self.engine.search(chosen, top_k=k, num_threads=THREADS, show_progress=False, **options)

    def numbers(self, found: Any) -> list[int]:
        return [int(n) for n, _ in found]

    def add(self, first: int, last: int) -> None:
        self.engine.add(self._tensors(first, last), show_progress=False)

    def delete(self, first: int, last: int) -> None:
        self.engine.delete(list(range(first, last)))


class Tachiom(Peer):
    """TACHIOM 0.4: clusters by vocabulary entry, a graph over centroids, product quantisation.

    Its index cannot be changed once built: no add, no delete.
    """

    package = "tachiom"

    def build(self, passages: Passages, count: int, index: Path) -> None:
        import tachiom

        offsets = np.asarray(passages.offsets[: count + 1])
        vectors = np.ascontiguousarray(passages.array("tokens")[: offsets[-1]]).view(np.uint16)
        kinds = np.ascontiguousarray(passages.array("kinds")[: offsets[-1]])
        built = tachiom.Tachiom.build_from_arrays(vectors, kinds, np.diff(offsets).astype(np.int32))
        index.mkdir(parents=True, exist_ok=True)
        built.save(str(index / "index.bin"))

    def open(self, passages: Passages, count: int, index: Path) -> None:
        import tachiom

        self.questions = [np.ascontiguousarray(question) for question in passages.questions()]
        self.engine = tachiom.Tachiom.load(str(index / "index.bin"))

    def search(self, question: int, k: int, **options: Any) -> Any:
        return self.engine.search(self.questions[question], k, **options)

    def search_all(self, questions: Sequence[int], k: int, **options: Any) -> list[Any]:
        chosen = [self.questions[question] for question in questions]
        bounds = np.cumsum([0] + [len(question) for question in chosen]).astype(np.uint64)
        scores, found = self.engine.batch_search(
            np.concatenate(chosen), len(chosen), k, offsets=bounds, num_threads=THREADS, **options
        )
        return list(zip(scores, found, strict=True))

    def numbers(self, found: Any) -> list[int]:
        scores, numbers = found
        return [int(n) for score, n in zip(scores, numbers, strict=True) if np.isfinite(score)]
