"""Awaited calls: the same answers, no thread of the loop blocked, no connection of another loop used."""

from __future__ import annotations

import asyncio
import threading

import pytest

from retrievers.errors import InvalidTypeError, StoreAccessError, StoreUnavailableError
from retrievers.qdrant import QdrantCollection
from retrievers.testing import HashingEncoder
from retrievers.types import AsyncSearchableCollection
from tests.loops import refuse_on_loop
from tests.qdrant.server import Fault

TEXTS = ["Paris is the capital of France.", "Berlin is the capital of Germany.", "Bread needs flour."]


@pytest.fixture(params=["local", "remote"])
def collection(request):
    return request.getfixturevalue(request.param)


async def test_awaited_calls_do_what_the_others_do(collection):
    assert isinstance(collection, AsyncSearchableCollection)
    ids, metadatas = ["a", "b", "c"], [{"n": 1}, {"n": 2}, {"n": 3}]
    assert await collection.aadd(TEXTS, ids=ids, metadatas=metadatas) == ids
    assert await collection.aget(["b", "a"]) == await asyncio.to_thread(collection.get, ["b", "a"])
    for options in ({}, {"k": 1}, {"filter": {"n": {"$gt": 1}}}, {"ids": ["c"]}, {"score_threshold": 0.9}):
        awaited = await collection.asearch("capital of France", **options)
        assert awaited == await asyncio.to_thread(collection.search, "capital of France", **options)
    many = await collection.asearch_many(["flour", "Germany"], k=1)
    assert [[hit.id for hit in found] for found in many] == [["c"], ["b"]]
    given = ["Some flour", TEXTS[2]]
    assert await collection.arerank("flour", given) == await asyncio.to_thread(
        collection.rerank, "flour", given
    )
    assert await collection.adelete(["a"]) == 1
    assert await collection.adelete(filter={"n": 2}) == 1
    assert [one.id for one in await collection.aget()] == ["c"]
    with pytest.raises(InvalidTypeError):
        await collection.asearch(7)
    await collection.aclose()


class ThreadEncoder(HashingEncoder):
    """Fails where an event loop runs."""

    def encode_queries(self, texts):
        refuse_on_loop()
        return super().encode_queries(texts)

    def encode_documents(self, texts):
        for text in texts:
            refuse_on_loop()
            yield from super().encode_documents([text])


async def test_the_encoder_works_in_a_thread_and_the_client_in_none(server):
    collection = await asyncio.to_thread(QdrantCollection, server.url, "threads", ThreadEncoder())
    waited = []
    sent, collection._connection.client = collection._connection.client, None  # the one that blocks
    collection._connection.client = type("Awaited", (), {"init_options": sent.init_options})()
    await collection.aadd(TEXTS, ids=["a", "b", "c"])
    waited.append(await collection.asearch("flour", k=1))
    assert [hit.id for hit in waited[0]] == ["c"]
    collection._connection.client = sent
    await asyncio.to_thread(collection.drop)


async def test_the_loop_goes_on_while_a_server_is_waited_for(server, remote):
    held = threading.Event()
    server.faults.append(Fault("POST", "/query/batch", hold=held, status=503))
    search = asyncio.create_task(remote.asearch("capital"))
    while not server.count("/query/batch"):
        await asyncio.sleep(0)
    assert not search.done()
    held.set()
    assert await search == []
    await remote.aclose()


def test_each_event_loop_has_a_client_of_its_own(remote):
    remote.add(TEXTS, ids=["a", "b", "c"])
    for _ in range(3):
        assert [hit.id for hit in asyncio.run(remote.asearch("flour", k=1))] == ["c"]


async def test_awaited_failures_are_tried_again_and_named(server, remote):
    server.faults.append(Fault("POST", "/points/count", status=503, times=1))
    assert await remote.asearch("capital") == []
    server.faults.append(Fault("POST", "/points/scroll", status=403))
    with pytest.raises(StoreAccessError):
        await remote.aadd(["text"])
    server.faults.append(Fault("POST", "/query/batch", reset=True, times=3))
    with pytest.raises(StoreUnavailableError):
        await remote.asearch("capital")
    await remote.aclose()


async def test_many_searches_at_once_are_answered(remote):
    await remote.aadd(
        [f"word{number} text" for number in range(20)], ids=[str(number) for number in range(20)]
    )
    found = await asyncio.gather(*(remote.asearch(f"word{number}", k=1) for number in range(20)))
    assert [hits[0].id for hits in found] == [str(number) for number in range(20)]
    await remote.aclose()
