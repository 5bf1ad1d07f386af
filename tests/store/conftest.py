"""Stores on disk and in memory."""

from collections.abc import Callable

import pytest

from retrievers.store import Store
from tests.store.rows import FINGERPRINT


@pytest.fixture(params=["disk", "memory"])
def make(request, tmp_path) -> Callable[..., Store]:
    """Opens the store of this test; on disk, again and again the same one."""
    opened = []

    def open_store(**options) -> Store:
        path = tmp_path / "collection" if request.param == "disk" else None
        opened.append(Store(path, **{"fingerprint": FINGERPRINT, **options}))
        return opened[-1]

    yield open_store
    for store in opened:
        store.close()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "collection"
