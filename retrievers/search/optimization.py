"""optimize: centroids for a store, and the code of each of its rows; one that was broken off is gone on with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from retrievers.display.progress import Progress
from retrievers.kernels.rows import RowForm
from retrievers.kernels.threads import cores
from retrievers.search.centroids import PART, compared, count_of, near, trained

if TYPE_CHECKING:
    from retrievers.store import Store
    from retrievers.store.unfinished import Unfinished

KEPT = 1 << 20  # rows whose codes are kept at once, so that at most so many are assigned again


def optimize(store: Store, *, n_centroids: int | None = None, show_progress: bool | None = None) -> None:
    """Train centroids on a store's live rows and give every row its code; nothing to do in an empty store.

    Others may read and write meanwhile; the write lock is held only while rows that they added get their codes. In a
    large store on disk, what is done is kept in a file of its own until the end: where this is interrupted, or the
    process killed, the next call with the same n_centroids goes on from there.

    Raises:
        InvalidInputError: n_centroids is out of range.
        CorruptStoreError: rows are damaged; nothing was changed.
        StoreLockedError: another writer did not finish within the store's timeout; nothing was changed.
        StoreError: the disk is full or cannot be written; the earlier codes stay.
    """
    with store.read() as view:
        form, rows, scales, starts, ends = view.form, view.rows, view.scales, view.starts, view.ends
    # The arrays stay valid after the view is closed; a view that stays open would keep writers waiting.
    count = count_of(int((ends - starts).sum()), n_centroids)
    if not count:
        return
    kept = store.unfinished() if store.path is not None and len(rows) > KEPT else None
    found = None if kept is None else kept.found(scales, count)
    if found is None:
        centroids = trained(rows, scales, form, starts, ends, count, None, 0, show_progress)
        found = centroids, np.zeros(0, np.uint16)
        if kept is not None:
            kept.begin(centroids)
    centroids, first = found
    # Rows are only ever appended, unless a compaction moved them, which moves their scales too. Then all codes are made
    # again, and writers wait for them only if it happens a second time.
    for again in (False, True):
        codes = _assign(rows, scales, form, centroids, first, kept, show_progress)
        hold = store.writing()
        with hold, hold:  # the second entry is there for an interrupt that comes right after the first
            with store.read() as view:
                same = len(scales) if np.array_equal(scales, view.scales[: len(scales)]) else 0
                rows, scales = view.rows, view.scales
            if same or again:
                if same < len(scales):
                    new = near(rows[same:], scales[same:], compared(centroids, form.bits), form.bits)[0]
                    codes = np.concatenate([codes[:same], new])
                store.write_codes(centroids, codes)
                break
        first = first[:0]
        if kept is not None:
            kept.begin(centroids)
    if kept is not None:
        kept.remove()


def _assign(
    rows: NDArray[np.uint8],
    scales: NDArray[np.float32],
    form: RowForm,
    centroids: NDArray[np.float32],
    first: NDArray[np.uint16],
    kept: Unfinished | None,
    show_progress: bool | None,
) -> NDArray[np.uint16]:
    """The code of each row, uint16, (tokens,), of which the first ones are known; in steps, so that a bar moves."""
    prepared, codes = compared(centroids, form.bits), np.empty(len(rows), np.uint16)
    done, step = len(first), PART * 4 * cores()
    codes[:done] = first
    with Progress(len(rows), "Codes", "tokens", show_progress) as progress:
        progress.advance(done)
        while done < len(rows):
            last = min(done + KEPT, len(rows))
            for here in range(done, last, step):
                part = slice(here, min(here + step, last))
                codes[part] = near(rows[part], scales[part], prepared, form.bits)[0]
                progress.advance(part.stop - here)
            if kept is not None:
                kept.keep(codes[done:last], scales[done:last])
            done = last
    return codes
