"""Peers in environments of their own, because of their pins: `python -m benchmarks.search.install [names]`."""

from __future__ import annotations

import subprocess
import sys
import venv
from collections.abc import Sequence
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


def install(name: str, cache: Path = CACHE) -> None:
    """Make the environment of a peer.

    Raises:
        subprocess.CalledProcessError: pip failed; subprocess.TimeoutExpired: it took longer than SECONDS.
    """
    home = cache / f"venv-{name}"
    venv.create(home, with_pip=True)
    command = [home / "bin" / "python", "-m", "pip", "install", "--quiet", f"{name}=={PEERS[name]}"]
    subprocess.run(command, check=True, timeout=SECONDS)
    (home / "installed").touch()


def main(names: Sequence[str]) -> None:
    for name in names or PEERS:
        if interpreter(name) is None:
            try:
                install(name)
            except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
                print(f"{name}: not installed: {error}", file=sys.stderr)
                continue
        print(f"{name} {PEERS[name]}: installed")


if __name__ == "__main__":
    main(sys.argv[1:])
