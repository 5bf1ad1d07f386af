"""MaxSim of every question and document by every setting, from rows that were encoded once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.quality.encodings import Encoded
from retrievers.evaluate.settings import with_mean
from retrievers.kernels.maxsim import maxsim
from retrievers.kernels.rows import quantize, sums
from retrievers.kernels.targets import chosen_target
from retrievers.types import TokenMatrix

WEIGHTS = {"": (), "length": ("length",), "idf": ("idf",), "length-idf": ("length", "idf")}
"""How a file calls what weighs a question's rows → the names in query_weights."""

DOCUMENT_ROWS, QUESTION_ROWS = 1 << 16, 2048  # that are scored at once

Scores = NDArray[np.float32]
"""float32, (questions, documents)."""


def scored(
    questions: Encoded, windows: Encoded, owners: NDArray[np.int64], mean_weight: float, kept: Path
) -> dict[tuple[str, ...], Scores]:
    """MaxSim of each question and document, a document's being that of its best window, for each of WEIGHTS.

    It is what exact search of a collection gives: rows of documents are mixed, then rounded to 8 bits; rows of
    questions are mixed and weighted, the weights having the mean 1.

    Args:
        questions, windows: as the model made them.
        owners: int64, (windows,): place of each window's document, ascending.
        mean_weight: of LateInteractionEncoder.
        kept: a directory that keeps what was computed.
    """
    paths = {name: kept / f"scores-{mean_weight:g}-{name or 'plain'}.npy" for name in WEIGHTS}
    if not all(path.is_file() for path in paths.values()):
        kept.mkdir(parents=True, exist_ok=True)
        firsts = np.unique(owners, return_index=True)[1]
        for name, found in _scored(questions, windows, owners, mean_weight).items():
            unfinished = paths[name].with_suffix(".part")
            with unfinished.open("wb") as file:
                np.save(file, np.maximum.reduceat(found, firsts, axis=1))
            unfinished.rename(paths[name])
    return {WEIGHTS[name]: np.load(path, allow_pickle=False) for name, path in paths.items()}


def pooled(
    questions: Encoded,
    windows: Encoded,
    owners: NDArray[np.int64],
    mean_weight: float,
    weighing: tuple[str, ...],
    kept: Path,
) -> Scores:
    """The pooled similarity of each question and document, which is that of its best window by MaxSim.

    It is what a search computes (retrievers.search.pooled), from rows that are made as `scored` makes them.

    Args:
        questions, windows, owners, mean_weight, kept: as `scored` has them.
        weighing: one of the values of WEIGHTS.
    """
    name = next(name for name, parts in WEIGHTS.items() if parts == weighing)
    path = kept / f"pooled-{mean_weight:g}-{name or 'plain'}.npy"
    if not path.is_file():
        kept.mkdir(parents=True, exist_ok=True)
        weights = question_weights(questions, windows, owners)[name][:, None]
        rows = np.concatenate([with_mean(part, mean_weight) for part in _texts(questions)]) * weights
        asked = np.stack(
            [rows[a:b].sum(axis=0) for a, b in zip(questions.starts, questions.ends, strict=True)]
        )
        whole = _unit(_sums(windows, mean_weight))
        best = _best_windows(questions, windows, owners, mean_weight, name)
        found = np.stack([whole[some] @ one for some, one in zip(best, _unit(asked), strict=True)])
        unfinished = path.with_suffix(".part")
        with unfinished.open("wb") as file:
            np.save(file, found)
        unfinished.rename(path)
    loaded: Scores = np.load(path, allow_pickle=False)
    return loaded


def _best_windows(
    questions: Encoded, windows: Encoded, owners: NDArray[np.int64], mean_weight: float, name: str
) -> NDArray[np.int64]:
    """The best window of each document for each question by MaxSim, int64, (questions, documents)."""
    firsts, counts = np.unique(owners, return_index=True, return_counts=True)[1:]
    best = np.tile(firsts, (len(questions), 1))
    several = np.flatnonzero(counts > 1)
    if len(several):
        some = np.isin(owners, owners[firsts[several]])
        found = _scored(questions, windows, owners, mean_weight, some)[name]
        for place in several:
            first, last = firsts[place], firsts[place] + counts[place]
            best[:, place] = first + found[:, first:last].argmax(axis=1)
    return best


def _sums(windows: Encoded, mean_weight: float) -> TokenMatrix:
    """The sum of each window's rows as they are stored, float32, (windows, dim)."""
    made = np.zeros((len(windows), windows.rows.shape[1]), np.float32)
    for place, (start, end) in enumerate(zip(windows.starts, windows.ends, strict=True)):
        if end > start:
            rows, scales = _stored(windows.rows[start:end], mean_weight)
            made[place] = sums(rows, scales, np.array([0]), np.array([end - start]), made.shape[1])[0]
    return made


def _unit(rows: TokenMatrix) -> TokenMatrix:
    made: TokenMatrix = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.float32(1e-12))
    return made


def question_weights(questions: Encoded, windows: Encoded, owners: NDArray[np.int64]) -> dict[str, Scores]:
    """The weight of each question's row, float32, (rows,), for each of WEIGHTS: mean 1 over a question."""
    rare = np.sqrt(_idf(windows, owners))[questions.tokens]
    made = {}
    for name, parts in WEIGHTS.items():
        weights = np.ones(len(questions.tokens), np.float64)
        if "length" in parts:
            weights = weights * questions.lengths
        if "idf" in parts:
            weights = weights * rare
        for start, end in zip(questions.starts, questions.ends, strict=True):
            weights[start:end] /= max(float(weights[start:end].mean()), 1e-12) if end > start else 1
        made[name] = weights.astype(np.float32)
    return made


def _idf(windows: Encoded, owners: NDArray[np.int64]) -> NDArray[np.float64]:
    """log(1 + (n - d + ½) / (d + ½)) of each number of a token, where d of the n documents have it."""
    size = 1 << 18  # above every vocabulary here
    mine = np.repeat(owners, windows.ends - windows.starts)
    pairs = np.unique(mine * size + windows.tokens)
    counts = np.bincount(pairs % size, minlength=size)
    number = int(owners[-1]) + 1
    found: NDArray[np.float64] = np.log1p((number - counts + 0.5) / (counts + 0.5))
    return found


def _scored(
    questions: Encoded,
    windows: Encoded,
    owners: NDArray[np.int64],
    mean_weight: float,
    among: NDArray[np.bool_] | None = None,
) -> Mapping[str, Scores]:
    """The same for each window, float32, (questions, windows); -inf where one of the two has no rows.

    Args:
        among: bool, (windows,): those that are scored, None for all; the others are -inf too.
    """
    weights = question_weights(questions, windows, owners)
    asked = np.concatenate([with_mean(part, mean_weight) for part in _texts(questions)])
    sums = {name: np.full((len(questions), len(windows)), -np.inf, np.float32) for name in WEIGHTS}
    parts = list(_chunks(questions, QUESTION_ROWS))
    for chunk in _chunks(windows, DOCUMENT_ROWS):
        some = chunk if among is None else chunk[among[chunk]]
        if not len(some):
            continue
        stored = [_stored(windows.rows[windows.starts[one] : windows.ends[one]], mean_weight) for one in some]
        rows, scales = (np.concatenate(arrays) for arrays in zip(*stored, strict=True))
        lengths = windows.ends[some] - windows.starts[some]
        ends = np.cumsum(lengths)
        starts = ends - lengths
        for part in parts:
            low, high = questions.starts[part[0]], questions.ends[part[-1]]
            alone = [
                asked[row : row + 1] for row in range(low, high)
            ]  # so that each row's maximum comes back
            best = maxsim(rows, scales, starts, ends, alone, chosen_target())  # (question rows, windows)
            for name, every in sums.items():
                weighted = best * weights[name][low:high, None]
                every[np.ix_(part, some)] = np.add.reduceat(weighted, questions.starts[part] - low, axis=0)
    return sums


def _chunks(encoded: Encoded, most: int) -> Iterator[NDArray[np.int64]]:
    """Places of texts that have about so many rows together, in order, without texts that have none."""
    filled = np.flatnonzero(encoded.ends > encoded.starts)
    yield from np.split(filled, np.flatnonzero(np.diff(encoded.starts[filled] // most)) + 1)


def _texts(encoded: Encoded) -> Iterator[TokenMatrix]:
    for start, end in zip(encoded.starts, encoded.ends, strict=True):
        yield encoded.rows[start:end].astype(np.float32)


def _stored(rows: NDArray[np.float16], mean_weight: float) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Rows of a window as a collection stores them."""
    return quantize(with_mean(rows.astype(np.float32), mean_weight))
