"""How long the stages of a search took, for the logger `retrievers` at level DEBUG."""

from __future__ import annotations

import logging
from time import perf_counter

LOG = logging.getLogger("retrievers")
NAMES = ("encoding", "selection", "scan", "fetch")


class Stages:
    """The seconds of stages that follow each other.

    Attributes:
        seconds: by name; a stage that came several times has the sum.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._since = perf_counter()

    def end(self, stage: str) -> None:
        """Count the time since the last end, or since the beginning, to a stage."""
        now = perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._since
        self._since = now


class _Untimed(Stages):
    """What is used where nobody listens: it asks no clock."""

    def __init__(self) -> None:
        self.seconds = {}

    def end(self, stage: str) -> None:
        pass


_untimed = _Untimed()


def begin() -> Stages:
    """Stages that begin now, timed if the logger is at level DEBUG."""
    return Stages() if LOG.isEnabledFor(logging.DEBUG) else _untimed


def log(encoding: Stages, scan: Stages, questions: int) -> None:
    """Say for one question what each stage took.

    Args:
        encoding: has the stage "encoding".
        scan: has the others, which the question may have shared.
        questions: that were scanned together.
    """
    if encoding is _untimed:
        return
    seconds = {**scan.seconds, **encoding.seconds}
    shown = ", ".join(f"{name} {1000 * seconds.get(name, 0.0):.2f} ms" for name in NAMES)
    LOG.debug("search: %s; %d scanned together", shown, questions)
