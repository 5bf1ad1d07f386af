"""The crash harness at the size that every test run can afford; `make crash` runs it longer."""

import os
import sys

import pytest

if sys.platform == "win32":
    pytest.skip("the crash harness kills forked children", allow_module_level=True)

from tests.crash.harness import run

SAMPLE = 4  # one in so many of the calls to kill at; `make crash` takes all of them


def test_nothing_acknowledged_is_lost_and_nothing_else_is_half_there(show):
    seed = int.from_bytes(
        os.urandom(2)
    )  # other calls in each run of the tests; the harness takes it as --seed
    counts = run(100, seed, SAMPLE)
    killed = sum(count for name, count in counts.items() if name.startswith("killed"))
    show(f"{killed} kills, seed {seed}: {dict(counts)}")
    assert killed >= 100
    assert counts["failed, fail call"] > 20
    assert counts["failed, limited file size"] > 3
