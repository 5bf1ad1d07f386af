"""Similarities as a heat map, by matplotlib, which is optional."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from retrievers.errors import MissingExtraError
from retrievers.types.boundaries import shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_LABELS = 80  # columns that can be named so that the names can be read
LABEL = 14  # characters of a name


def heat_map(
    similarity: NDArray[np.float32],
    rows: Sequence[str],
    columns: Sequence[str],
    title: str,
    ax: Axes | None = None,
) -> Axes:
    """Similarities in colour, the largest of each row framed.

    Args:
        similarity: float32, (len(rows), len(columns)).
        rows: names of the rows.
        columns: names of the columns; an empty one is drawn as a dot.
        ax: axes to draw on; None makes a figure.
    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        from matplotlib.patches import Rectangle
    except ImportError as error:
        raise MissingExtraError(
            'a heat map needs matplotlib: pip install "maxsim-retrievers[notebooks]".'
        ) from error
    if ax is None:
        from matplotlib import pyplot

        size = (min(2 + 0.3 * len(columns), 24), min(1.5 + 0.3 * len(rows), 16))
        _, ax = pyplot.subplots(figsize=size, layout="constrained")
    image = ax.imshow(similarity, cmap="cividis", vmin=0, vmax=1, aspect="auto")
    for row, column in enumerate(similarity.argmax(axis=1).tolist()):
        frame = Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor="red", linewidth=1.5)
        ax.add_patch(frame)
    ax.set_yticks(range(len(rows)), [_label(name) for name in rows])
    if len(columns) <= MOST_LABELS:
        ax.set_xticks(range(len(columns)), [_label(name) for name in columns], rotation=90)
    else:
        ax.set_xlabel(f"{len(columns)} tokens of the passage")
    ax.set_title(_label(title, 80))
    ax.figure.colorbar(image, ax=ax, label="similarity")
    return ax


def _label(name: str, limit: int = LABEL) -> str:
    """A name as matplotlib draws it and does not read it as a formula."""
    line = "".join(
        one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in " ".join(name.split())
    )
    return shortened(line, limit).replace("$", r"\$") or "·"
