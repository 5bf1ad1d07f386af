"""What the kernels' tests share."""

import pytest

from retrievers.kernels import compile, targets


@pytest.fixture(params=targets.available())
def path(request):
    """Each path that this processor can run."""
    return targets.PATHS[request.param]


@pytest.fixture
def unbuilt(monkeypatch):
    """As in a new process: nothing is compiled or loaded yet."""
    monkeypatch.setattr(compile, "_loaded", {})
