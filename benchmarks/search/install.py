"""Peers in environments of their own, because of their pins: `python -m benchmarks.search.install [names]`."""

from __future__ import annotations

import subprocess
import sys
import venv
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from benchmarks.search.data import CACHE

PEERS = {"fast-plaid": "1.7.0.2110", "xtr-warp-rs": "2.1.0.2110", "tachiom": "0.4.0"}
"""fast-plaid and xtr-warp-rs pin torch 2.11, which brings about 4 GB of CUDA packages on Linux. tachiom comes
as source with dependencies in git: it needs a Rust compiler and a network that reaches them."""
SECONDS = 1800


def interpreter(name: str, cache: Path = CACHE) -> Path | None:
    """The Python of a peer's environment; None where it is not installed."""
    python = cache / f"venv-{name}" / "bin" / "python"
    return python if (python.parent.parent / "installed").exists() else None


def reason(name: str, cache: Path = CACHE) -> str:
    """Why a peer has no environment."""
    failure = cache / f"venv-{name}" / "failure"
    return failure.read_text() if failure.exists() else "not installed"


def install(name: str, cache: Path = CACHE) -> bool:
    """Make the environment of a peer; reason() says why if that fails."""
    home = cache / f"venv-{name}"
    venv.create(home, with_pip=True)
    command = [home / "bin" / "python", "-m", "pip", "install", "--quiet", f"{name}=={PEERS[name]}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        (home / "failure").write_text(f"not installed: pip took more than {SECONDS} s")
        return False
    if done.returncode:
        # A build from source says what is missing after "Caused by:"; its last line says only that it failed.
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        causes = [after for before, after in pairwise(lines) if before.startswith("Caused by:")]
        cause = causes[0] if causes else lines[-1]
        (home / "failure").write_text(f"not installed: it does not build here ({cause})")
        return False
    (home / "installed").touch()
    return True


def main(names: Sequence[str]) -> None:
    for name in names or PEERS:
        ready = interpreter(name) is not None or install(name)
        print(f"{name} {PEERS[name]}: {'installed' if ready else reason(name)}")


if __name__ == "__main__":
    main(sys.argv[1:])
