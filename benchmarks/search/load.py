"""Whether anything else ran on the machine: a figure taken beside other work is worth less."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path


class Others:
    """Processor time that is neither this process's nor its children's, from now on."""

    def __init__(self) -> None:
        self._begin, self._busy, self._own = time.perf_counter(), _busy(), _own()

    def share(self) -> float:
        """Cores that others kept busy on average; right once the children have ended. 0 where unknown."""
        if not _busy():
            return 0.0
        others = (_busy() - self._busy) - (_own() - self._own)
        return max(0.0, others / (time.perf_counter() - self._begin))


def _busy() -> float:
    """Processor seconds that the machine has spent on anything; 0 where it does not say."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return 0.0
    user, nice, system, _, _, irq, softirq, *_ = map(int, stat.read_text().split("\n", 1)[0].split()[1:])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def _own() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
