"""What the kernels' tests share."""

import pytest

from retrievers.kernels import compile, targets


@pytest.fixture(params=targets.available_targets())
def target(request):
    """Each target that this processor can run."""
    return targets.TARGETS[request.param]


@pytest.fixture
def unbuilt(monkeypatch):
    """As in a new process: nothing is compiled or loaded yet."""
    monkeypatch.setattr(compile, "_loaded", {})
