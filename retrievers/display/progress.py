"""Progress bars: in a terminal as in a notebook, with the rate in units that a person counts in."""

from __future__ import annotations

import sys
import warnings
from types import TracebackType
from typing import Any

FORMAT = (
    "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt}{unit} "
    "[{elapsed}<{remaining}, {rate_noinv_fmt}{postfix}]"
)

DELAY = 1.0  # seconds that work may take without a bar


class Progress:
    """A bar for long work, which appears when it has taken a second.

    Args:
        total: units of the whole; None where nobody knows.
        doing: what is done, as a word: "Indexing".
        unit: what is counted, in the plural: "documents".
        show: None shows it in a notebook, and where standard error is a terminal.
    """

    def __init__(self, total: int | None, doing: str, unit: str, show: bool | None = None) -> None:
        self._tokens = 0
        self._bar: Any = _tqdm()(
            total=total,
            desc=doing,
            unit=f" {unit}",
            bar_format=FORMAT,
            disable=not wanted(show),
            delay=DELAY,
        )

    def advance(self, count: int = 1, *, tokens: int = 0) -> None:
        """Some units are done.

        Args:
            tokens: that were encoded for them; their rate is shown too.
        """
        self._tokens += tokens
        if self._tokens and not self._bar.disable:
            seconds = self._bar.format_dict["elapsed"]
            if seconds > 0:
                self._bar.set_postfix_str(f"{self._tokens / seconds:,.0f} tokens/s", refresh=False)
        self._bar.update(count)

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()


def wanted(show: bool | None) -> bool:
    """Whether a bar is to be seen: as the user says, else where there is somebody to see it."""
    if show is not None:
        return show
    return in_notebook() or (sys.stderr is not None and sys.stderr.isatty())


def in_notebook() -> bool:
    """Whether a kernel of Jupyter runs this: its standard error is no terminal, and yet somebody looks at it."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell is not None and "IPKernelApp" in shell.config


def _tqdm() -> Any:
    with warnings.catch_warnings():
        # Without ipywidgets the bar is drawn as text, which is fine.
        warnings.filterwarnings("ignore", message="IProgress not found")
        from tqdm.auto import tqdm
    return tqdm
