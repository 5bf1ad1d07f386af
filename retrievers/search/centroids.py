"""Centroids of token vectors: spherical k-means on a sample, and the nearest centroid of each row."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from retrievers.display.progress import Progress
from retrievers.errors import CorruptStoreError, InvalidInputError, ShapeError
from retrievers.kernels import nibbles
from retrievers.kernels.centroids import Centroids, nearest, prepare
from retrievers.kernels.rows import RowForm, dequantize, in_8_bits, possible
from retrievers.kernels.threads import cores
from retrievers.search.parallel import map_ranges, ranges

MOST = 1 << 16  # a code is a uint16
FEWEST, USUAL = 1 << 8, 1 << 14  # see default_count
ROUNDS = 6  # of k-means: after the sixth the mean similarity grows by less than 0.001 in a round
SAMPLE = 24  # rows to train on for each centroid
PART = 8192  # rows that one call of the kernel takes


def default_count(tokens: int) -> int:
    """How many centroids a collection gets: 16 times the square root, a power of two, USUAL at most.

    More of them prune better, but training takes longer in proportion, and a query's table must stay in the
    second-level cache: at USUAL it has a quarter of a megabyte for 16 query tokens.
    """
    wanted = 16 * max(tokens, 1) ** 0.5
    return min(USUAL, max(FEWEST, 1 << round(float(np.log2(wanted)))))


def train(
    rows: NDArray[np.uint8],
    scales: NDArray[np.float32],
    dim: int,
    *,
    bits: int = 8,
    n_centroids: int | None = None,
    sample: int | None = None,
    seed: int = 0,
    show_progress: bool | None = None,
) -> NDArray[np.float32]:
    """Spherical k-means: directions that lie close to as many rows as possible.

    The same rows and seed give the same centroids on one kind of processor.

    Args:
        rows: uint8, (tokens, row_bytes(dim, bits)).
        scales: float32, (tokens,).
        dim: length of a vector.
        bits: of a number of the rows.
        n_centroids: K, at most 65 536; None follows default_count. Fewer tokens than K give K = tokens.
        sample: rows to train on; None takes 24 for each centroid.
        seed: of the sample and of the first centroids.
        show_progress: a progress bar; None shows it in a notebook, and where standard error is a terminal.
    Returns:
        float32, (K, dim), rows of length 1. K is 0 where there are no rows.
    Raises:
        InvalidInputError: n_centroids or sample is out of range.
        CorruptStoreError: rows that it is trained on are none.
        ShapeError: rows, scales and dim do not fit each other.
    References:
        Dhillon and Modha, Concept decompositions for large sparse text data, Machine Learning 42, 2001.
    """
    form = RowForm(dim, bits)
    _check(rows, scales, form)
    whole = np.zeros(1, np.int64)
    count = count_of(len(rows), n_centroids)
    return trained(rows, scales, form, whole, whole + len(rows), count, sample, seed, show_progress)


def assign(
    rows: NDArray[np.uint8], scales: NDArray[np.float32], centroids: NDArray[np.float32], bits: int = 8
) -> NDArray[np.uint16]:
    """The nearest centroid of each row, by the largest dot product with centroids that are rounded to 8 bits.

    Args:
        rows: uint8, (tokens, row_bytes(dim, bits)).
        scales: float32, (tokens,).
        centroids: float32, (K, dim), K from 1 to 65 536.
        bits: of a number of the rows.
    Returns:
        uint16, (tokens,); the smaller number where two centroids are equally near.
    Raises:
        InvalidInputError: there are no centroids, or too many.
        ShapeError: rows, scales and centroids do not fit each other.
    """
    count, dim = centroids.shape
    form = RowForm(dim, bits)
    _check(rows, scales, form)
    if not 1 <= count <= MOST:
        raise InvalidInputError(f"there are {count} centroids: 1 to {MOST} are needed.")
    return near(rows, scales, compared(centroids, bits), bits)[0]


def count_of(tokens: int, n_centroids: int | None) -> int:
    """How many centroids so many tokens get, where n_centroids are asked for.

    Raises:
        InvalidInputError: n_centroids is out of range.
    """
    if n_centroids is not None and not 1 <= n_centroids <= MOST:
        raise InvalidInputError(
            f"n_centroids is {n_centroids}: 1 to {MOST} are possible, as a code has 16 bits."
        )
    return min(default_count(tokens) if n_centroids is None else n_centroids, tokens)


def trained(
    rows: NDArray[np.uint8],
    scales: NDArray[np.float32],
    form: RowForm,
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    count: int,
    sample: int | None,
    seed: int,
    show_progress: bool | None,
) -> NDArray[np.float32]:
    """See train. The rows are those of some windows, and `count` is what count_of gives for their tokens.

    Rows of 4 bits are compared as they are turned, and the centroids are turned back at the end.
    """
    total, dim = int((ends - starts).sum()), form.dim
    if sample is not None and sample < 1:
        raise InvalidInputError(f"sample is {sample}: at least 1 row is needed.")
    if not count:
        return np.zeros((0, dim), np.float32)
    random = np.random.default_rng(seed)
    size = min(total, max(count, SAMPLE * count if sample is None else sample))
    chosen = _rows_of(starts, ends, np.sort(random.choice(total, size, replace=False)))
    taken, taken_scales = rows[chosen], scales[chosen]
    if not possible(taken, taken_scales, form.bits):
        raise CorruptStoreError(
            "stored rows are none that a vector can have given: `retrievers verify` names the documents; delete them, "
            "and add them again. Nothing was changed."
        )
    taken, taken_scales = in_8_bits(taken, taken_scales, form.bits)
    width = taken.shape[1]
    first = random.choice(size, count, replace=False)
    centroids = _directions(dequantize(taken[first], taken_scales[first], width))
    with Progress(ROUNDS, "Centroids", "rounds", show_progress) as progress:
        for _ in range(ROUNDS):
            codes, similarity = near(taken, taken_scales, prepare(centroids))
            sums, members = _sums(taken, taken_scales, codes, count, width)
            # A centroid that lost all its rows moves to the rows that are served worst.
            empty = np.flatnonzero(members == 0)
            if len(empty):
                sums[empty] = centroids[empty]
                moved = _worst_served(codes, similarity * taken_scales, len(empty))
                sums[empty[: len(moved)]] = dequantize(taken[moved], taken_scales[moved], width)
            centroids = _directions(sums)
            progress.advance()
    turned = form.bits == nibbles.BITS
    return _directions(nibbles.turned_back(centroids, dim)) if turned else centroids[:, :dim].copy()


def _rows_of(
    starts: NDArray[np.int64], ends: NDArray[np.int64], places: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Numbers of rows, ascending, from their places when windows are laid end to end."""
    totals = np.cumsum(ends - starts)  # tokens of each window and those before it
    windows = np.searchsorted(totals, places, side="right")
    return np.sort(ends[windows] - (totals[windows] - places))


def _check(rows: NDArray[np.uint8], scales: NDArray[np.float32], form: RowForm) -> None:
    if rows.ndim != 2 or rows.shape[1] != form.row_bytes or scales.shape != rows.shape[:1]:
        raise ShapeError(
            f"rows have shape {rows.shape} and scales {scales.shape}: ({len(rows)}, {form.row_bytes}) and "
            f"({len(rows)},) are needed for vectors of {form.dim} numbers of {form.bits} bits."
        )


def compared(centroids: NDArray[np.float32], bits: int) -> Centroids:
    """Centroids as rows of so many bits are compared with them."""
    return prepare(nibbles.turned(centroids) if bits == nibbles.BITS else centroids)


def near(
    rows: NDArray[np.uint8], scales: NDArray[np.float32], centroids: Centroids, bits: int = 8
) -> tuple[NDArray[np.uint16], NDArray[np.float32]]:
    """Number of the nearest centroid, uint16 (n,), and the product with it in the row's own unit, float32 (n,)."""
    codes, similarity = np.empty(len(rows), np.uint16), np.empty(len(rows), np.float32)

    def part(first: int, last: int) -> None:
        for here in range(first, last, PART):
            block = slice(here, min(here + PART, last))
            taken, _ = in_8_bits(rows[block], scales[block], bits)
            codes[block], similarity[block] = nearest(taken, centroids)

    map_ranges(part, ranges(len(rows), 4 * cores(), PART))
    return codes, similarity


def _sums(
    rows: NDArray[np.uint8], scales: NDArray[np.float32], codes: NDArray[np.uint16], count: int, dim: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Sum of the rows, of 8 bits, of each centroid, float32 (count, dim), and how many there are, int64 (count,)."""
    order = np.argsort(codes, kind="stable")
    members = np.bincount(codes, minlength=count)
    bounds = np.concatenate([[0], np.cumsum(members)])
    sums = np.zeros((count, dim), np.float32)

    def part(first: int, last: int) -> None:
        for here in range(first, last, 256):
            end = min(here + 256, last)
            picked = order[bounds[here] : bounds[end]]
            filled = here + np.flatnonzero(members[here:end])
            if len(filled):
                sums[filled] = np.add.reduceat(
                    dequantize(rows[picked], scales[picked], dim, 8), bounds[filled] - bounds[here], axis=0
                )

    map_ranges(part, ranges(count, 4 * cores(), 256))
    return sums, members


def _worst_served(
    codes: NDArray[np.uint16], similarity: NDArray[np.float32], count: int
) -> NDArray[np.int64]:
    """Rows that lost centroids move to: those least like their own centroid, one of each, `count` at most."""
    order = np.argsort(similarity, kind="stable")
    _, first = np.unique(codes[order], return_index=True)
    return order[np.sort(first)[:count]]


def _directions(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Vectors of length 1."""
    directions: NDArray[np.float32] = vectors / np.maximum(
        np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12
    )
    return directions
