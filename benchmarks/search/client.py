"""The other end of worker.py: starts it, sends commands, gives up after a time."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from benchmarks.search.data import Passages
from benchmarks.search.engine import THREADS

ROOT = Path(__file__).resolve().parents[2]


class WorkerError(RuntimeError):
    """An engine's process ended, or did not answer in time; the message has the last of what it printed."""


class Client:
    """One engine's process.

    Args:
        python: the interpreter of the environment that the engine is installed in.
        engine: "module:Class".
        passages: the set; count: how many of it are indexed; index: the directory of the index.
        variables: added to the environment.
    """

    def __init__(
        self,
        python: Path,
        engine: str,
        passages: Passages,
        count: int,
        index: Path,
        variables: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        limits = dict.fromkeys(
            ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"), str(THREADS)
        )
        module, name = engine.split(":")
        # It lives as long as the process; close() closes both.
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self._process = subprocess.Popen(
            [python, "-m", "benchmarks.search.worker", module, name, passages.directory, str(count), index],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            cwd=ROOT,
            env=os.environ | limits | {"HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore"} | dict(variables),
        )
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._process.stdout, selectors.EVENT_READ)  # type: ignore[arg-type]

    def __call__(self, command: str, timeout: float = 600, **arguments: Any) -> dict[str, Any]:
        """Send a command and wait for its answer.

        Raises:
            WorkerError: no answer within the timeout (the process is killed), or the process ended.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps([command, arguments]) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise WorkerError(self._last_words()) from None
        if not self._selector.select(timeout):
            self.close()
            raise WorkerError(f"no answer to {command} within {timeout:.0f} s")
        line = self._process.stdout.readline()
        if not line:
            raise WorkerError(self._last_words())
        return json.loads(line)

    def close(self) -> None:
        """End the process."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._log.close()

    def _last_words(self) -> str:
        self._process.wait()
        self._log.seek(0)
        lines = [line for line in self._log.read().splitlines() if line.strip()]
        return lines[-1] if lines else f"ended with {self._process.returncode}"
