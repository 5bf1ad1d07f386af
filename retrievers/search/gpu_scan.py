"""Scores of windows whose rows live on a device of torch's: by a kernel of Triton's where it runs, else by products."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from retrievers.kernels import nibbles
from retrievers.kernels.rows import elements, quantize
from retrievers.types import TokenMatrix

BLOCK = 1 << 18  # rows that ByProducts multiplies at once
MULTIPLE = (
    32  # bytes that a row on the device has a multiple of, as retrievers.kernels.triton_maxsim asks for
)


@dataclass(frozen=True)
class Resident:
    """The rows of some windows on a device.

    Attributes:
        rows: (tokens, bytes of a stored row rounded up to a multiple of MULTIPLE), 0 beyond these: int8, the elements
            of rows of 8 bits; or uint8, rows of 4 bits as they are stored.
        scales: float32, (tokens,).
        bounds: int64, (windows + 1,), in the processor's memory: where the rows of each window begin.
    """

    rows: torch.Tensor
    scales: torch.Tensor
    bounds: NDArray[np.int64]

    @property
    def device(self) -> torch.device:
        return self.rows.device

    @property
    def packed(self) -> bool:
        """Whether a byte holds two numbers."""
        return self.rows.dtype == torch.uint8

    def arranged(self, query: TokenMatrix) -> TokenMatrix:
        """A query's numbers in the order of a row's, 0 where a row has more: float32, (query_tokens, numbers of a row).

        Of packed rows the numbers in the lower halves of all bytes come first, and the query is turned as they are.
        """
        width = self.rows.shape[1]
        if not self.packed:
            return np.pad(query, ((0, 0), (0, width - query.shape[1])))
        turned = nibbles.turned(query)
        half = turned.shape[1] // 2
        made = np.zeros((len(query), 2 * width), np.float32)
        made[:, :half], made[:, width : width + half] = turned[:, :half], turned[:, half:]
        return made

    def numbers(self, rows: torch.Tensor, kind: torch.dtype) -> torch.Tensor:
        """The integers that bytes of the rows stand for, in a number format: (tokens, numbers of a row)."""
        if self.packed:
            return torch.cat([rows & 15, rows >> 4], dim=1).to(kind) * 2 - nibbles.LARGEST
        return rows.to(kind)


class Scan(Protocol):
    """A way to score windows."""

    tokens_a_pass: int
    """Tokens of all queries that share a pass, at most."""

    def every(self, queries: Sequence[TokenMatrix], windows: NDArray[np.int64]) -> torch.Tensor:
        """Scores of rounded queries: float32, (queries, windows), on the device; -inf for a window without rows."""

    def pairs(
        self, queries: Sequence[TokenMatrix], owners: NDArray[np.int64], windows: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Scores in float32 of window i and query owners[i]: float32, (windows,). Owners ascend."""


def scan(resident: Resident) -> Scan:
    """The fastest way that the device has."""
    return ByTriton(resident) if _triton_runs(resident.device) else ByProducts(resident)


class ByTriton:
    """One pass over the rows; see retrievers.kernels.triton_maxsim."""

    tokens_a_pass = 1 << 14

    def __init__(self, resident: Resident) -> None:
        self.resident = resident
        bounds = torch.from_numpy(resident.bounds).to(resident.device)
        self.starts, self.ends = bounds[:-1].contiguous(), bounds[1:].contiguous()

    def every(self, queries: Sequence[TokenMatrix], windows: NDArray[np.int64]) -> torch.Tensor:
        rounded = [quantize(self.resident.arranged(query)) for query in queries]
        matrices = [elements(rows) for rows, _ in rounded]
        return self._scores(matrices, [scales for _, scales in rounded], windows, None)

    def pairs(
        self, queries: Sequence[TokenMatrix], owners: NDArray[np.int64], windows: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        ones = [np.ones(len(query), np.float32) for query in queries]
        matrices = [self.resident.arranged(query) for query in queries]
        scores: NDArray[np.float32] = self._scores(matrices, ones, windows, owners).cpu().numpy()
        return scores

    def _scores(
        self,
        matrices: Sequence[NDArray[Any]],
        scales: Sequence[NDArray[np.float32]],
        windows: NDArray[np.int64],
        owners: NDArray[np.int64] | None,
    ) -> torch.Tensor:
        from retrievers.kernels import triton_maxsim

        resident, device = self.resident, self.resident.device
        least, most = triton_maxsim.TOKENS
        longest = max(map(len, matrices))
        tokens = -(-longest // most) * most if longest > most else max(least, 1 << (longest - 1).bit_length())
        filled = np.zeros((len(matrices), tokens, matrices[0].shape[1]), matrices[0].dtype)
        weights = np.zeros((len(matrices), tokens), np.float32)
        for place, (matrix, scale) in enumerate(zip(matrices, scales, strict=True)):
            filled[place, : len(matrix)] = matrix
            weights[place, : len(scale)] = scale
        starts, ends = self.starts, self.ends
        if len(windows) < len(starts) or owners is not None:
            chosen = torch.from_numpy(windows).to(device)
            starts, ends = starts[chosen], ends[chosen]
        queries = torch.from_numpy(filled).to(device), torch.from_numpy(weights).to(device)
        owned = None if owners is None else torch.from_numpy(owners).to(device)
        return triton_maxsim.maxsim(resident.rows, resident.scales, starts, ends, *queries, owned)


class ByProducts:
    """A matrix product of a block of rows, and a maximum a window: torch's own operations, on any device it knows.

    Blocks become bfloat16, which holds every element, so that only queries and products are rounded.
    """

    tokens_a_pass = 256

    def __init__(self, resident: Resident) -> None:
        self.resident = resident

    def every(self, queries: Sequence[TokenMatrix], windows: NDArray[np.int64]) -> torch.Tensor:
        return self._scores(queries, windows, torch.bfloat16)

    def pairs(
        self, queries: Sequence[TokenMatrix], owners: NDArray[np.int64], windows: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        ends = np.searchsorted(owners, np.arange(len(queries)), side="right")
        found = [
            self._scores([query], own, torch.float32)[0].cpu().numpy()
            for query, own in zip(queries, np.split(windows, ends[:-1]), strict=True)
        ]
        return np.concatenate(found)

    def _scores(
        self, queries: Sequence[TokenMatrix], windows: NDArray[np.int64], kind: torch.dtype
    ) -> torch.Tensor:
        resident, device = self.resident, self.resident.device
        whole = np.concatenate([resident.arranged(query) for query in queries])  # (all query tokens, numbers)
        matrix = torch.from_numpy(np.ascontiguousarray(whole.T)).to(device, kind)
        counts = [len(query) for query in queries]
        scores = torch.empty((len(queries), len(windows)), device=device)
        for first, last in self._blocks(windows):
            rows, lengths = self._rows(windows[first:last])
            numbers = resident.numbers(resident.rows[rows], kind)  # (tokens, numbers of a row)
            # float32, (tokens, all query tokens)
            products = (numbers @ matrix) * resident.scales[rows][:, None]
            best = torch.segment_reduce(products, "max", lengths=lengths, axis=0, initial=-torch.inf)
            parts = [columns.sum(1) for columns in best.split(counts, dim=1)]
            scores[:, first:last] = torch.stack(parts)
        return scores

    def _rows(self, windows: NDArray[np.int64]) -> tuple[slice | torch.Tensor, torch.Tensor]:
        """Where the rows of windows are on the device, and how many each has."""
        starts, ends = self.resident.bounds[windows], self.resident.bounds[windows + 1]
        lengths = ends - starts
        device_lengths = torch.from_numpy(lengths).to(self.resident.device)
        if len(windows) and (np.diff(windows) == 1).all():
            return slice(int(starts[0]), int(ends[-1])), device_lengths
        return torch.from_numpy(numbers(starts, ends)).to(self.resident.device), device_lengths

    def _blocks(self, windows: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
        bounds = self.resident.bounds
        return blocks(bounds[windows + 1] - bounds[windows])


def numbers(starts: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """The numbers from each start to before its end, one range after another."""
    lengths = ends - starts
    offsets = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    found: NDArray[np.int64] = np.repeat(starts, lengths) + offsets
    return found


def blocks(lengths: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Ranges of windows with at most BLOCK rows, or of one window that has more."""
    ends = np.cumsum(lengths)
    first = 0
    while first < len(lengths):
        done = ends[first - 1] if first else 0
        last = max(first + 1, int(np.searchsorted(ends, done + BLOCK, side="right")))
        yield first, last
        first = last


@cache
def _triton_runs(device: torch.device) -> bool:
    """Whether Triton is installed, knows the device, and finds the compiler that it needs: one window is scored."""
    if device.type != "cuda":
        return False
    query, first = [np.ones((1, MULTIPLE), np.float32)], np.zeros(1, np.int64)
    try:
        for kind in (torch.int8, torch.uint8):
            rows = torch.ones((1, MULTIPLE), dtype=kind, device=device)
            window = Resident(rows, torch.ones(1, device=device), np.array([0, 1]))
            if not math.isfinite(float(ByTriton(window).every(query, first))):
                return False
        return True
    except torch.OutOfMemoryError:  # it says nothing of Triton, and must not be remembered
        raise
    except Exception:  # what Triton raises where it does not run is not ours to list
        return False
