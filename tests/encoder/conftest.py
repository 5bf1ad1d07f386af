"""A hub on the loopback interface with a tiny model, and a cache of its own for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hub import asked_by_this_process

GOLDEN = Path(__file__).parents[1] / "golden"
NAME = "acme/tiny"


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub that has acme/tiny; huggingface_hub asks it, and keeps what it gets in tmp_path/cache."""
    with asked_by_this_process(monkeypatch, tmp_path / "cache") as hub:
        hub.commit(NAME, GOLDEN / "pylate-bert")
        yield hub


@pytest.fixture(autouse=True)
def pauses(monkeypatch):
    """Seconds that the client would have waited before it asked the hub again; nobody waits."""
    waited: list[float] = []
    monkeypatch.setattr("retrievers.encoder.hub._wait", waited.append)
    return waited


@pytest.fixture
def impatient(monkeypatch):
    """Nobody waits between the client's attempts."""
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
