"""Copies, pickles and forked children of a collection on a server: each has a connection of its own."""

from __future__ import annotations

import asyncio
import copy
import pickle

import pytest
from httpx import Limits
from qdrant_client import QdrantClient

from retrievers.errors import InvalidTypeError, ModelMismatchError, StoreError, StoreLockedError
from retrievers.qdrant import QdrantCollection, connection
from retrievers.testing import HashingEncoder
from tests.forks import answer_of_child, held_by_another_thread, needs_fork, threads_warning

TEXTS = {"sea": "The whale sings in the sea.", "sky": "The swift sleeps in the sky."}
QUESTION = "What sings in the sea?"


def pickled(collection):
    return pickle.loads(pickle.dumps(collection))  # noqa: S301


def filled(collection):
    collection.add(list(TEXTS.values()), ids=list(TEXTS))
    return collection


def first(collection):
    return collection.search(QUESTION, k=1)[0].id


@pytest.mark.parametrize("copied", [pickled, copy.deepcopy, copy.copy])
def test_a_copy_opens_the_same_collection_of_the_server(remote, copied):
    other = copied(filled(remote))
    assert first(other) == "sea"
    assert other.fingerprint == remote.fingerprint
    remote.close()
    assert first(other) == "sea"
    other.close()


def test_a_copy_of_what_was_opened_by_an_alias_stays_with_that_collection(remote, server):
    filled(remote).publish("current")
    with QdrantCollection(server.url, "current", HashingEncoder(document_length=4)) as opened:
        with QdrantCollection(server.url, "next", HashingEncoder()) as replacement:
            replacement.publish("current")
        with pickled(opened) as other:
            assert first(other) == "sea"
    server.engine.delete("next")


def test_a_pickle_creates_nothing_and_takes_no_other_model(remote, server):
    data = pickle.dumps(remote)
    remote.drop()
    with pytest.raises(StoreError, match="no collection"):
        pickle.loads(data)  # noqa: S301
    with QdrantCollection(server.url, remote.name, HashingEncoder(dim=32)), pytest.raises(ModelMismatchError):
        pickle.loads(data)  # noqa: S301


def test_in_the_client_s_own_engine_a_copy_shares_it(local, tmp_path):
    assert first(copy.deepcopy(filled(local))) == "sea"
    with QdrantCollection(tmp_path, "directory", HashingEncoder()) as directory:
        assert first(copy.copy(filled(directory))) == "sea"


def test_a_pickle_is_refused_where_it_could_not_be_opened(local, server):
    server.key = "secret"
    client = QdrantClient(url=server.url, api_key="secret", check_compatibility=False)
    with QdrantCollection(server.url, "locked", HashingEncoder(), api_key="secret") as locked:
        given = QdrantCollection(client, "locked")
        reasons = {
            local: "only this process has what it is in",
            given: "its client was given to it",
            locked: "it needs the server's key, which is kept out of pickles",
        }
        for collection, reason in reasons.items():
            with pytest.raises(InvalidTypeError, match=reason) as refusal:
                pickle.dumps(collection)
            assert "secret" not in str(refusal.value)
        assert copy.copy(given).get() == copy.copy(locked).get() == []
        locked.drop()
    client.close()


@needs_fork
@threads_warning
class TestFork:
    def test_a_child_does_not_read_its_parent_s_answers(self, remote, server):
        """One socket for two processes gives each the other's answers."""
        filled(remote)
        keeping = Limits(max_keepalive_connections=5)  # as it is by default, but to this host
        client = QdrantClient(url=server.url, check_compatibility=False, limits=keeping)
        collection = QdrantCollection(client, remote.name)
        collection.get()
        server.ports.clear()
        collection.get()
        [kept] = set(server.ports)
        assert answer_of_child(lambda: len(collection.get())) == 2
        assert answer_of_child(lambda: len(asyncio.run(collection.aget()))) == 2
        children = set(server.ports) - {kept}
        assert len(children) == 2
        collection.get()
        assert set(server.ports) - children == {kept}
        client.close()

    def test_a_child_asks_with_its_parent_s_address(self, remote):
        filled(remote)
        assert answer_of_child(lambda: (first(remote), remote._connection.address)) == (
            "sea",
            remote._connection.address,
        )

    def test_a_child_has_the_memory_of_its_parent_whatever_another_thread_did(self, local):
        filled(local)
        local.get()
        with held_by_another_thread(connection._engines.locks[local._connection.client]):
            assert answer_of_child(lambda: first(local)) == "sea"

    def test_a_directory_is_refused_to_a_child(self, tmp_path):
        def refusal():
            try:
                directory.get()
            except StoreLockedError as error:
                return str(error)

        with QdrantCollection(tmp_path, "directory", HashingEncoder()) as directory:
            filled(directory)
            assert "open in the process that forked this one" in answer_of_child(refusal)
            assert len(directory) == 2
