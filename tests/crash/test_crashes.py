"""The crash harness at the size that every test run can afford; `make crash` runs it longer."""

import os
import sys

import pytest

if sys.platform == "win32":
    pytest.skip("the crash harness kills forked children", allow_module_level=True)

from tests.crash.harness import run

KILLS = int(os.environ.get("RETRIEVERS_KILLS", "200"))


def test_nothing_acknowledged_is_lost_and_nothing_else_is_half_there(capsys):
    counts = run(KILLS)
    killed = sum(count for name, count in counts.items() if name.startswith("killed"))
    with capsys.disabled():
        print(f"\n{killed} kills: {dict(counts)}")
    assert killed >= KILLS
    assert counts["failed, fail call"] > 30
    assert counts["failed, limited file size"] > 10
