"""A loopback server for a whole test run, and collections of their own on it."""

from __future__ import annotations

from itertools import count

import pytest

from retrievers.qdrant import QdrantCollection
from retrievers.testing import HashingEncoder
from tests.qdrant.server import Server

NAMES = count()


@pytest.fixture(scope="session")
def running():
    with Server() as server:
        yield server


@pytest.fixture
def server(running):
    """The server without faults, key and history."""
    running.reset()
    yield running
    running.reset()


@pytest.fixture
def remote(server):
    """An empty collection on the server, that does not wait between its tries."""
    with QdrantCollection(
        server.url, f"remote-{next(NAMES)}", HashingEncoder(document_length=4)
    ) as collection:
        collection._connection.pause = lambda seconds: None
        server.reset()
        yield collection
        server.engine.delete(collection.name)


@pytest.fixture
def local():
    with QdrantCollection(":memory:", "local", HashingEncoder(document_length=4)) as collection:
        yield collection


@pytest.fixture(scope="session")
def _kept(running):
    with QdrantCollection(running.url, "kept", HashingEncoder()) as collection:
        yield collection


@pytest.fixture
def emptied(_kept, server):
    """An empty collection on the server with the encoder's default settings: the same one for every test."""
    _kept.clear()
    return _kept
