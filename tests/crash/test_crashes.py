"""The crash harness at the size that every test run can afford; `make crash` runs it longer."""

import os
import sys

import pytest

if sys.platform == "win32":
    pytest.skip("the crash harness kills forked children", allow_module_level=True)

from tests.crash.harness import run

KILLS = int(os.environ.get("RETRIEVERS_KILLS", "120"))


def test_nothing_acknowledged_is_lost_and_nothing_else_is_half_there(show):
    counts = run(KILLS)
    killed = sum(count for name, count in counts.items() if name.startswith("killed"))
    show(f"{killed} kills: {dict(counts)}")
    assert killed >= KILLS
    assert counts["failed, fail call"] > KILLS * 0.15
    assert counts["failed, limited file size"] > KILLS * 0.05
