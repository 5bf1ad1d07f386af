"""Exact search on a device of torch's, such as a graphics processor: the rows of one commit live there.

All windows are scored with rounded queries (retrievers.search.gpu_scan), and those that may be among the best again in
float32, as on the processor. Only these leave the device.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from retrievers.errors import DeviceMemoryError
from retrievers.kernels.fork import Guard, let_torch_run, per_process
from retrievers.kernels.rows import elements
from retrievers.search.exact import candidates
from retrievers.search.gpu_scan import BLOCK, MULTIPLE, ByProducts, Resident, blocks, numbers, scan
from retrievers.search.ranking import Ranking, best_documents
from retrievers.types import TokenMatrix

if TYPE_CHECKING:
    from retrievers.store import View

SCORES = 1 << 26  # of windows and queries that a pass leaves on the device
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
        DeviceMemoryError: the rows do not fit, or leave no room to work in.
    """
    let_torch_run()
    resident = _resident(view, device, memory_limit)
    try:
        return resident.rank(queries, selected, k)
    except torch.OutOfMemoryError as error:
        raise DeviceMemoryError(f"{device} ran out of memory while it scored windows. {_CURE}") from error


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
        self.documents = view.documents
        lengths = view.ends - view.starts
        bounds = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])  # rows on the device
        tokens, width = int(bounds[-1]), -(-view.form.row_bytes // MULTIPLE) * MULTIPLE
        self._check(tokens, width, width * 8 // view.bits, int(lengths.max(initial=0)))
        try:
            kind = torch.int8 if view.bits == 8 else torch.uint8
            rows = torch.zeros((tokens, width), dtype=kind, device=self.device)
            scales = torch.empty(tokens, dtype=torch.float32, device=self.device)
            for first, last in blocks(lengths):
                chosen = numbers(view.starts[first:last], view.ends[first:last])
                place = slice(int(bounds[first]), int(bounds[last]))
                stored = view.rows[chosen]
                part = torch.from_numpy(elements(stored) if view.bits == 8 else stored)
                rows[place, : part.shape[1]] = part.to(self.device)
                scales[place] = torch.from_numpy(view.scales[chosen]).to(self.device)
            self.scan = scan(Resident(rows, scales, bounds))
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
        for some in self._passes(queries, len(selected)):
            near = _near(self.scan.every(some, selected), documents, 2 * candidates(k))
            owners = np.repeat(np.arange(len(some)), [len(places) for places in near])
            exact = self.scan.pairs(some, owners, selected[np.concatenate(near)])
            parts = np.split(exact, np.cumsum([len(places) for places in near])[:-1])
            rankings += [
                best_documents(scores, selected[places], documents[places], k)
                for places, scores in zip(near, parts, strict=True)
            ]
        return rankings

    def _passes(self, queries: Sequence[TokenMatrix], windows: int) -> Iterator[list[TokenMatrix]]:
        """Queries in groups with a bound on their tokens and their scores, or of one that has more."""
        some: list[TokenMatrix] = []
        for query in queries:
            longest, count = max(map(len, [query, *some])), len(some) + 1
            if some and (count * longest > self.scan.tokens_a_pass or count * windows > SCORES):
                yield some
                some = []
            some.append(query)
        if some:
            yield some

    def _check(self, tokens: int, width: int, numbers: int, longest: int) -> None:
        stored = tokens * (width + 4)
        # A block as bytes, each number in a byte, as bfloat16 and as float32, and its products three times: ByProducts
        # needs it.
        block = 7 * numbers + (width + numbers if numbers > width else 0)
        working = max(min(BLOCK, tokens), longest) * (block + 10 * ByProducts.tokens_a_pass)
        limit = self.memory_limit
        if limit is None and self.device.type == "cuda":
            limit = int(SHARE * torch.cuda.mem_get_info(self.device)[0])
        if limit is not None and stored + working > limit:
            raise DeviceMemoryError(
                f"{tokens} token rows need {_size(stored)} on {self.device}, and {_size(working)} to work in; "
                f"{_size(limit)} may be used. {_CURE}"
            )


_CURE = (
    "Raise device_memory, free memory of the device, or search without a device, which maps rows from disk."
)


def _near(scores: torch.Tensor, documents: NDArray[np.int64], count: int) -> list[NDArray[np.int64]]:
    """retrievers.search.ranking.shortlist of each query, chosen on the device.

    Args:
        scores: float32, (queries, windows).
        documents: int64, (windows,).
        count: documents to have.
    """
    near = [np.arange(len(documents)) for _ in range(len(scores))]
    left, windows = np.arange(len(scores)), count
    while len(left) and windows < len(documents):
        chosen = scores[torch.from_numpy(left).to(scores.device)]
        edges = chosen.topk(windows, dim=1).values[:, -1:]
        owners, places = (found.cpu().numpy() for found in (chosen >= edges).nonzero(as_tuple=True))
        parts = np.split(places, np.searchsorted(owners, np.arange(1, len(left))))
        enough = [len(np.unique(documents[part])) >= count for part in parts]
        for query, part, whole in zip(left.tolist(), parts, enough, strict=True):
            if whole:
                near[query] = part
        left, windows = left[~np.array(enough)], 4 * windows
    return near


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
