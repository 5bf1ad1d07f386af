"""What the kernels' tests share."""

import pytest

from retrievers.kernels import build, paths


@pytest.fixture(params=paths.available())
def path(request):
    """Each path that this processor can run."""
    return paths.PATHS[request.param]


@pytest.fixture
def unbuilt(monkeypatch):
    """As in a new process: nothing is compiled or loaded yet."""
    monkeypatch.setattr(build, "_loaded", {})
