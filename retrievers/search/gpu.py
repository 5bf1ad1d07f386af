"""Exact search on a device of torch's, such as a graphics processor: the rows of one commit live there.

Rows stay bytes, with two numbers in each where they have 4 bits. One block after another becomes bfloat16, which
holds every integer up to 256, so that only queries are rounded. One matrix product and a maximum a window follow. The
windows that may be among the best are scored again in float32, as on the processor.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from retrievers.errors import DeviceMemoryError
from retrievers.kernels import nibbles
from retrievers.kernels.fork import Guard, let_torch_run, per_process
from retrievers.kernels.rows import ZERO
from retrievers.search.exact import candidates
from retrievers.search.ranking import Ranking, best_documents, shortlist
from retrievers.types import TokenMatrix

if TYPE_CHECKING:
    from retrievers.store import View

BLOCK = 1 << 18  # rows that are multiplied at once
QUERY_TOKENS = 256  # of all queries that share a pass
SHARE = 0.9  # of the memory that is free; torch itself needs some of the rest


def rank(
    view: View,
    queries: Sequence[TokenMatrix],
    selected: NDArray[np.int64] | None,
    k: int,
    *,
    device: str = "cuda",
    memory_limit: int | None = None,
) -> list[Ranking]:
    """The k best documents of each query, as exact.rank gives them; the first call of a commit copies its rows.

    Args:
        view: a view of the store.
        queries: matrices, float32, (query_tokens_i, dim), each with at least one token.
        selected: int64: positions of the windows to search; None for all.
        k: the most documents a query.
        device: as torch names it.
        memory_limit: bytes of the device that may be used; None means nearly all that is free.
    Raises:
        DeviceMemoryError: the rows do not fit.
    """
    let_torch_run()
    return _resident(view, device, memory_limit).rank(queries, selected, k)


class DeviceRows:
    """The live token rows of one commit on a device.

    Args:
        view: a view of the store; the rows are copied, and the view is not kept.
        device: as torch names it.
        memory_limit: bytes of the device that may be used; None means nearly all that is free.
    Raises:
        DeviceMemoryError: the rows, and room to work, do not fit.
    """

    def __init__(self, view: View, *, device: str = "cuda", memory_limit: int | None = None) -> None:
        self.device = torch.device(device)
        self.memory_limit = memory_limit
        self.dim, self.bits = view.dim, view.bits
        self.documents = view.documents
        lengths = view.ends - view.starts
        self.bounds = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])  # rows on the device
        tokens, width = int(self.bounds[-1]), view.rows.shape[1]
        self._check(tokens, width, int(lengths.max(initial=0)))
        try:
            self.rows = torch.empty((tokens, width), dtype=torch.uint8, device=self.device)
            self.scales = torch.empty(tokens, dtype=torch.float32, device=self.device)
            self._copy(view)
        except torch.OutOfMemoryError as error:
            raise DeviceMemoryError(
                f"{self.device} ran out of memory for {tokens} token rows of {width} bytes. {_CURE}"
            ) from error

    @torch.inference_mode()
    def rank(
        self, queries: Sequence[TokenMatrix], selected: NDArray[np.int64] | None, k: int
    ) -> list[Ranking]:
        """See rank of this module."""
        if selected is None:
            selected = np.arange(len(self.documents), dtype=np.int64)
        documents = self.documents[selected]
        rankings = []
        for some in _passes(queries):
            for query, rough in zip(some, self._scores(some, selected, torch.bfloat16), strict=True):
                near = shortlist(rough, documents, 2 * candidates(k))
                [scores] = self._scores([query], selected[near], torch.float32)
                rankings.append(best_documents(scores, selected[near], documents[near], k))
        return rankings

    def _scores(
        self, queries: Sequence[TokenMatrix], windows: NDArray[np.int64], kind: torch.dtype
    ) -> NDArray[np.float32]:
        """MaxSim from products of one number format: float32, (queries, windows); -inf without tokens."""
        whole = np.concatenate(queries)  # (all query tokens, dim)
        whole = nibbles.turned(whole) if self.bits == nibbles.BITS else whole
        joined = torch.from_numpy(np.ascontiguousarray(whole.T))  # (numbers of a row, all query tokens)
        matrix = joined.to(self.device, kind)
        counts = [len(query) for query in queries]
        scores = np.empty((len(queries), len(windows)), np.float32)
        for first, last in self._blocks(windows):
            part = windows[first:last]
            rows, lengths = self._rows(part)
            numbers = self._numbers(self.rows[rows], kind)  # (tokens, numbers of a row)
            products = (numbers @ matrix).float() * self.scales[rows][:, None]  # (tokens, all query tokens)
            best = torch.segment_reduce(products, "max", lengths=lengths, axis=0, initial=-torch.inf)
            sums = torch.stack(
                [columns.sum(1) for columns in best.split(counts, dim=1)]
            )  # (queries, windows)
            scores[:, first:last] = sums.cpu().numpy()
        return scores

    def _numbers(self, rows: torch.Tensor, kind: torch.dtype) -> torch.Tensor:
        """The integers that stored bytes stand for, of 4 bits those of the turned rows."""
        if self.bits == nibbles.BITS:
            return torch.cat([rows & 15, rows >> 4], dim=1).to(kind) * 2 - nibbles.LARGEST
        return rows[:, : self.dim].to(kind) - ZERO

    def _rows(self, windows: NDArray[np.int64]) -> tuple[slice | torch.Tensor, torch.Tensor]:
        """Where the rows of windows are on the device, and how many each has."""
        starts, ends = self.bounds[windows], self.bounds[windows + 1]
        lengths = ends - starts
        device_lengths = torch.from_numpy(lengths).to(self.device)
        if len(windows) and (np.diff(windows) == 1).all():
            return slice(int(starts[0]), int(ends[-1])), device_lengths
        offsets = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        rows = torch.from_numpy(np.repeat(starts, lengths) + offsets)
        return rows.to(self.device), device_lengths

    def _blocks(self, windows: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
        """Ranges of windows with at most BLOCK rows, or of one window that has more."""
        ends = np.cumsum(self.bounds[windows + 1] - self.bounds[windows])
        first = 0
        while first < len(windows):
            done = ends[first - 1] if first else 0
            last = max(first + 1, int(np.searchsorted(ends, done + BLOCK, side="right")))
            yield first, last
            first = last

    def _copy(self, view: View) -> None:
        for first, last in self._blocks(np.arange(len(view.starts))):
            spans = zip(view.starts[first:last], view.ends[first:last], strict=True)
            rows = [np.arange(start, end) for start, end in spans]
            chosen = np.concatenate(rows)
            place = slice(int(self.bounds[first]), int(self.bounds[last]))
            self.rows[place] = torch.from_numpy(view.rows[chosen]).to(self.device)
            self.scales[place] = torch.from_numpy(view.scales[chosen]).to(self.device)

    def _check(self, tokens: int, width: int, longest: int) -> None:
        stored = tokens * (width + 4)
        # A block as bytes, as integers and as float32, and twice its products. Of 4 bits, first each number has a byte.
        numbers = width * 8 // self.bits
        block = 9 * numbers + (width + numbers if self.bits == nibbles.BITS else 0)
        working = max(min(BLOCK, tokens), longest) * (block + 10 * QUERY_TOKENS)
        limit = self.memory_limit
        if limit is None and self.device.type == "cuda":
            limit = int(SHARE * torch.cuda.mem_get_info(self.device)[0])
        if limit is not None and stored + working > limit:
            raise DeviceMemoryError(
                f"{tokens} token rows need {_size(stored)} on {self.device}, and {_size(working)} to work in; "
                f"{_size(limit)} may be used. {_CURE}"
            )


_CURE = (
    "Raise memory_limit, free memory of the device, or search without a device, which maps rows from disk."
)


def _passes(queries: Sequence[TokenMatrix]) -> Iterator[list[TokenMatrix]]:
    """Queries in groups of at most QUERY_TOKENS tokens, or of one that has more."""
    some: list[TokenMatrix] = []
    for query in queries:
        if some and sum(map(len, some)) + len(query) > QUERY_TOKENS:
            yield some
            some = []
        some.append(query)
    if some:
        yield some


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e7 else f"{count / 1e3:.1f} kB"


_state = per_process(Guard)
_residents: dict[str, tuple[weakref.ref[NDArray[np.int64]], DeviceRows]] = {}


def _resident(view: View, device: str, memory_limit: int | None) -> DeviceRows:
    """The rows of a commit on a device, copied once; they make room for the next commit's."""
    with _state.lock:
        starts, rows = _residents.get(device, (None, None))
        if starts is None or rows is None or starts() is not view.starts or rows.memory_limit != memory_limit:
            _residents.pop(device, None)
            del rows  # otherwise both commits' rows would be on the device at once
            rows = DeviceRows(view, device=device, memory_limit=memory_limit)
            _residents[device] = (weakref.ref(view.starts), rows)
        return rows
