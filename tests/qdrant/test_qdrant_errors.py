"""A server that is down, refuses or loses answers: errors of ours, three tries, nothing lost and nothing twice."""

from __future__ import annotations

import socket
import threading

import grpc
import pytest

from retrievers.errors import (
    InvalidInputError,
    InvalidTypeError,
    StoreAccessError,
    StoreClosedError,
    StoreConflictError,
    StoreError,
    StoreLockedError,
    StoreTimeoutError,
    StoreUnavailableError,
)
from retrievers.qdrant import QdrantCollection
from retrievers.qdrant.refusals import passing, refusal
from retrievers.testing import HashingEncoder
from tests.qdrant.server import Fault, Server

KEY = "very-secret-key"


@pytest.mark.parametrize(
    ("status", "error", "builtin", "tries"),
    [
        (400, StoreError, OSError, 1),
        (401, StoreAccessError, PermissionError, 1),
        (403, StoreAccessError, PermissionError, 1),
        (404, StoreError, OSError, 1),
        (409, StoreConflictError, OSError, 1),
        (413, StoreError, OSError, 1),
        (429, StoreUnavailableError, ConnectionError, 3),
        (500, StoreUnavailableError, ConnectionError, 3),
        (503, StoreUnavailableError, ConnectionError, 3),
        (504, StoreTimeoutError, TimeoutError, 3),
    ],
)
def test_a_status_is_an_error_of_ours_and_a_builtin(server, remote, status, error, builtin, tries):
    server.faults.append(Fault("POST", "/query/batch", status=status, times=9))
    with pytest.raises(error) as caught:
        remote.search("capital")
    assert isinstance(caught.value, builtin)
    assert type(caught.value) is error
    assert server.count("/query/batch") == tries
    assert server.url in str(caught.value)


@pytest.mark.parametrize("after", [False, True], ids=["before the work", "after the work"])
@pytest.mark.parametrize("status", [None, 429, 500, 503])
def test_two_failures_of_any_request_are_outlasted(server, remote, status, after):
    remote.add(["one two three four five"], ids=["a"])
    requests = len(server.seen)
    for skip in range(requests):
        server.faults[:] = [Fault(status=status, reset=status is None, after=after, skip=skip, times=2)]
        remote.add([f"six seven eight nine ten {skip}", "other"], ids=["a", "b"])
        assert [one.text for one in remote.get()] == [f"six seven eight nine ten {skip}", "other"]
    assert remote._connection.client.count(remote.name).count == 3


def test_a_lost_answer_is_neither_a_lost_write_nor_a_double_one(server, remote):
    server.faults.append(Fault("POST", "/points/batch", reset=True, after=True, times=3))
    with pytest.raises(StoreUnavailableError):
        remote.add(["one two three four five"], ids=["a"])
    server.faults.clear()
    assert [one.id for one in remote.get()] == ["a"]
    encoded = remote.encoder.encoded_documents
    remote.add(["one two three four five"], ids=["a"])
    assert remote.encoder.encoded_documents == encoded
    assert remote._connection.client.count(remote.name).count == 2


def test_a_server_that_is_not_there_is_named_without_its_key():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://user:{KEY}@127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(StoreUnavailableError) as caught, pytest.warns(UserWarning, match="insecure"):
            QdrantCollection(url, "papers", HashingEncoder(), api_key=KEY, timeout=1)
    assert "127.0.0.1" in str(caught.value)
    assert KEY not in str(caught.value)


@pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection")
def test_a_wrong_key_is_refused_and_not_repeated():
    with Server(key="right") as server:
        with pytest.raises(StoreAccessError) as caught:
            QdrantCollection(server.url, "papers", HashingEncoder(), api_key=KEY)
        assert KEY not in str(caught.value)
        with QdrantCollection(server.url, "papers", HashingEncoder(), api_key="right") as collection:
            assert len(collection) == 0


def test_an_answer_that_takes_too_long_is_a_timeout_error(server):
    with QdrantCollection(server.url, "slow", HashingEncoder(), timeout=1) as collection:
        collection._connection.pause = lambda seconds: None
        held = threading.Event()
        server.faults.append(Fault("POST", "/points/count", hold=held, reset=True, times=3))
        with pytest.raises(StoreTimeoutError, match="did not answer count in time"):
            len(collection)
        held.set()


def test_the_pauses_grow_and_follow_what_the_server_asks_for(server, remote):
    pauses: list[float] = []
    remote._connection.pause = pauses.append
    server.faults.append(Fault("POST", "/points/count", status=503, times=2))
    assert len(remote) == 0
    server.faults.append(Fault("POST", "/points/count", status=429, headers=(("Retry-After", "7"),)))
    assert len(remote) == 0
    assert pauses == [0.25, 1.0, 7.0]


def test_what_is_no_qdrant_server_is_said_so(server, remote):
    server.engine.answer, kept = lambda *_: {"no": "count"}, server.engine.answer
    try:
        with pytest.raises(StoreError, match="is not Qdrant's"):
            len(remote)
    finally:
        server.engine.answer = kept


class Rpc(grpc.RpcError):
    def __init__(self, code):
        self.code, self.details = lambda: code, lambda: "said the server"


@pytest.mark.parametrize(
    ("code", "error", "again"),
    [
        (grpc.StatusCode.UNAVAILABLE, StoreUnavailableError, True),
        (grpc.StatusCode.DEADLINE_EXCEEDED, StoreTimeoutError, True),
        (grpc.StatusCode.UNAUTHENTICATED, StoreAccessError, False),
        (grpc.StatusCode.ALREADY_EXISTS, StoreConflictError, False),
        (grpc.StatusCode.INVALID_ARGUMENT, StoreError, False),
    ],
)
def test_errors_of_grpc_are_the_same(code, error, again):
    assert type(refusal(Rpc(code), "http://host:6334", "count")) is error
    assert passing(Rpc(code)) == again


def test_a_closed_collection_says_so(remote):
    with QdrantCollection(remote._connection.client, remote.name) as other:
        pass
    with pytest.raises(StoreClosedError, match="was closed"):
        len(other)
    assert len(remote) == 0  # a client that was given stays open


def test_a_directory_is_open_in_one_client_at_a_time(tmp_path):
    with QdrantCollection(tmp_path, "papers", HashingEncoder()) as collection:
        collection.add(["one"], ids=["a"])
        with pytest.raises(StoreLockedError, match="one at a time"):
            QdrantCollection(tmp_path, "papers", HashingEncoder())
    with QdrantCollection(tmp_path, "papers", HashingEncoder()) as collection:
        assert [one.id for one in collection.get()] == ["a"]


@pytest.mark.parametrize(
    ("arguments", "options", "error"),
    [
        (("papers.example:6333", "papers"), {}, InvalidInputError),
        (("ftp://papers.example", "papers"), {}, InvalidInputError),
        ((7, "papers"), {}, InvalidTypeError),
        ((":memory:", ""), {}, InvalidInputError),
        ((":memory:", "papers", "offline/minilm"), {}, InvalidTypeError),
        ((":memory:", "papers", HashingEncoder()), {"timeout": 0}, InvalidInputError),
        ((":memory:", "papers", HashingEncoder()), {"datatype": "uint8"}, InvalidInputError),
        ((":memory:", "papers", HashingEncoder()), {"candidates": 0}, InvalidInputError),
        ((":memory:", "papers", HashingEncoder()), {"indexed": "year"}, InvalidTypeError),
        ((":memory:", "papers", HashingEncoder()), {"tenant": 3}, InvalidTypeError),
        ((":memory:", "papers"), {}, StoreError),
    ],
)
def test_wrong_arguments_are_refused(arguments, options, error):
    with pytest.raises(error):
        QdrantCollection(*arguments, **options)
