"""Changes on Qdrant: whole at any moment, for two writers too, in requests of a bounded size."""

from __future__ import annotations

import json
from contextlib import suppress

import numpy as np
import pytest
from qdrant_client import models

from retrievers import Collection, Document
from retrievers.collection import searching
from retrievers.errors import InvalidInputError, StoreConflictError
from retrievers.kernels.nibbles import turned_back
from retrievers.kernels.rows import RowForm, dequantize, quantize
from retrievers.qdrant import QdrantCollection, batching, writing
from retrievers.qdrant.points import SCALES, TOKENS, numbers, restored, window_of
from retrievers.testing import HashingEncoder
from tests.qdrant.harness import faults, kills

LONG = "one two three four five six seven eight nine"  # three windows of four words


def texts(collection):
    return {one.id: one.text for one in collection.get()}


def points(collection):
    records, _ = collection._connection.client.scroll(collection.name, limit=1000, with_payload=True)
    return records


def test_kills_leave_a_whole_collection():
    assert kills(25, seed=11)["killed"] == 25


def test_kills_leave_a_whole_collection_on_the_engine(server):
    assert kills(5, seed=12, where=server.url)["killed"] == 5


def test_faults_leave_a_whole_collection():
    assert faults(8, seed=13)["faults"] >= 8


def test_what_is_stored_is_not_encoded_again(local):
    encoder = local.encoder
    local.add([LONG, "other"], ids=["a", "b"], metadatas=[{"n": 1}, {}])
    encoded = encoder.encoded_documents
    local.add([LONG, "another"], ids=["a", "b"], metadatas=[{"n": 2}, {}])
    assert encoder.encoded_documents == encoded + 1
    assert local.get(["a"]) == [Document(LONG, "a", {"n": 2})]
    assert [hit.passage.number for hit in local.search("nine", filter={"n": 2})] == [2]


def test_a_stored_document_keeps_its_source_and_attachment(local):
    given = Document(LONG, "a", {"n": 1}, source="book", attachment={"kind": "part"})
    local.add([given])
    local.add([LONG], ids=["a"], metadatas=[{"n": 2}])
    local.add(["other"], ids=["a"], metadatas=[{"n": 3}])
    assert local.get() == [Document("other", "a", {"n": 3}, source="book", attachment={"kind": "part"})]


class Racing:
    """A connection by which another writer changes the document before or after one of the requests."""

    def __init__(self, collection, method, change, *, after=False):
        self.connection, self.method, self.change, self.after = collection._connection, method, change, after
        collection._connection = self

    def __call__(self, step):
        due = getattr(step, "method", None) == self.method and self.change is not None
        change, self.change = (self.change, None) if due and _uploads(step) else (None, self.change)
        if change is not None and not self.after:
            change()
        answer = self.connection(step)
        if change is not None and self.after:
            change()
        return answer

    def __getattr__(self, name):
        return getattr(self.connection, name)


@pytest.fixture(params=["local", "remote"])
def pair(request):
    """Two collections over one client."""
    first = request.getfixturevalue(request.param)
    with QdrantCollection(first._connection.client, first.name, first.encoder) as second:
        yield first, second


@pytest.mark.parametrize("there", [True, False], ids=["replaced", "new"])
def test_of_two_writers_of_one_id_one_is_told(pair, there):
    first, second = pair
    if there:
        first.add([LONG], ids=["a"])
    Racing(first, "batch_update_points", lambda: second.add([f"second {LONG}"], ids=["a"]))
    with pytest.raises(StoreConflictError, match="'a'"):
        first.add([f"first {LONG}"], ids=["a"])
    assert texts(second) == {"a": f"second {LONG}"}
    assert len(points(second)) == 3  # nothing of the first is left
    first.add([f"first {LONG}"], ids=["a"])
    assert texts(second) == {"a": f"first {LONG}"}


def test_a_document_that_was_deleted_meanwhile_is_not_revived(pair):
    first, second = pair
    first.add([LONG], ids=["a"])
    Racing(first, "batch_update_points", lambda: second.delete(["a"]))
    with pytest.raises(StoreConflictError):
        first.add([f"first {LONG}"], ids=["a"])
    assert texts(second) == {}


def test_what_another_writer_is_about_to_commit_is_not_swept_away(pair):
    """The first deletes what is older than its version while the second has uploaded the windows of the next one."""
    first, second = pair
    first.add(["before"], ids=["a"])
    steps = second._calls.add([f"second {LONG}"], ["a"], None, None, None, False)
    waiting = []

    def upload():
        step = next(steps)
        while getattr(step, "method", None) != "batch_update_points" or not _uploads(step):
            step = steps.send(second._connection(step))
        waiting.append(step)

    Racing(first, "delete", upload)
    first.add([f"first {LONG}"], ids=["a"])
    assert texts(first) == {"a": f"first {LONG}"}
    finish(second, steps, waiting.pop())
    assert texts(second) == {"a": f"second {LONG}"}
    assert len(points(second)) == 3
    assert second.search("nine")[0].passage.text == "eight nine"


def finish(collection, steps, step):
    with suppress(StopIteration):
        forward(collection, steps, step)


def _uploads(step):
    """Whether a step is another than the one that removes what an earlier call left."""
    operations = step.arguments.get("update_operations")
    return operations is None or not all(hasattr(one, "delete") for one in operations)


def test_windows_that_were_seen_without_their_head_are_scored_again(pair):
    """The server searches before the commit, and the head is read after it."""
    first, second = pair
    options = searching.checked(1, None, None, None, None, None, 1)
    writing, step = until(
        first, first._calls.add([LONG], ["a"], None, None, None, False), "batch_update_points"
    )
    reading, query = until(
        second, second._calls.search(["one"], options, None, None, True, None), "query_batch_points"
    )
    [answer] = second._connection(query)
    assert {point.payload["number"] for point in answer.points} == {1, 2}
    finish(first, writing, step)
    read = reading.send([answer])
    with pytest.raises(StopIteration) as end:
        forward(second, reading, read)
    [[hit]] = end.value.value
    assert (hit.passage.number, hit.score) == (0, pytest.approx(1, abs=0.01))


def test_a_search_between_the_requests_of_new_metadata_finds_all_windows(pair):
    first, second = pair
    first.add([LONG], ids=["a"], metadatas=[{"n": 1}])
    steps = first._calls.add([LONG], ["a"], [{"n": 2}], None, None, False)
    steps, step = until(first, steps, "batch_update_points")
    states = []
    with suppress(StopIteration):
        while True:
            step = steps.send(first._connection(step))
            found = [second.search("nine", filter={"n": number}) for number in (1, 2)]
            [hit] = found[0] + found[1]
            assert (hit.passage.number, hit.score) == (2, pytest.approx(1, abs=0.01))
            states.append(hit.metadata["n"])
    assert states == sorted(states)
    assert set(states) == {1, 2}


def until(collection, steps, method):
    """Steps as far as a request, which is not made yet."""
    step = next(steps)
    while getattr(step, "method", None) != method or not _uploads(step):
        step = steps.send(collection._connection(step))
    return steps, step


def forward(collection, steps, step):
    while True:
        step = steps.send(collection._connection(step))


def test_an_old_server_is_written_without_comparison_and_a_conflict_is_still_seen(server):
    server.engine.version = "1.16.3"
    encoder = HashingEncoder(document_length=4)
    with QdrantCollection(server.url, "old", encoder) as first, QdrantCollection(server.url, "old") as second:
        assert not first._calls.layout.guarded
        second._calls.known = encoder
        first.add([LONG], ids=["a"])

        def change():
            second.add([f"second {LONG}"], ids=["a"])

        Racing(first, "batch_update_points", change, after=True)
        with pytest.raises(StoreConflictError):
            first.add([f"first {LONG}"], ids=["a"])
        assert texts(second) == {"a": f"second {LONG}"}
        second.drop()


def test_no_request_is_larger_than_its_bound(server, remote, monkeypatch):
    monkeypatch.setattr(batching, "BATCH_BYTES", 40_000)
    remote.add([f"{LONG} {number}" for number in range(40)])
    uploads = [size for method, path, size in server.seen if path.endswith(("/points", "/points/batch"))]
    assert max(uploads) <= 40_000
    assert len([size for size in uploads if size > 10_000]) > 4
    assert len(remote) == 40


def test_numbers_are_sent_in_their_shortest_form(server, remote):
    remote.add(["one two"], ids=["a"])
    [body] = [json.loads(body) for body in server.bodies if b'"tokens"' in body]
    [operation] = body["operations"]
    [point] = operation["upsert"]["points"]
    assert max(len(str(value)) for row in point["vector"]["tokens"] for value in row) <= 10


def test_every_half_precision_number_survives_its_shortest_form():
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    finite = halves[np.isfinite(halves)]
    assert np.array_equal(np.array(numbers(finite)).astype(np.float32).astype(np.float16), finite)


@pytest.mark.parametrize("datatype", ["float16", "float32"])
@pytest.mark.parametrize(("dim", "bits"), [(3, 8), (64, 8), (384, 8), (8, 4), (64, 4), (120, 4), (384, 4)])
def test_rows_and_scales_come_back_as_a_directory_has_them(server, dim, bits, datatype):
    encoder, name = HashingEncoder(dim=dim), f"rows-{dim}-{bits}-{datatype}"
    with QdrantCollection(server.url, name, encoder, bits=bits, datatype=datatype) as collection:
        collection.add(["one two three"], ids=["a"])
        [record] = collection._connection.client.retrieve(
            collection.name, [points(collection)[0].id], with_payload=True, with_vectors=[TOKENS]
        )
        window = window_of(record, RowForm(dim, bits))
        [matrix] = encoder.encode_documents(["one two three"])
        rows, scales = quantize(matrix, bits)
        assert np.array_equal(window.rows, rows)
        assert np.array_equal(window.scales, scales)
        [found] = collection.matrices(collection.search("one"))
        assert np.array_equal(found, dequantize(rows, scales, dim, bits))
        collection.drop()


@pytest.mark.parametrize("length", [1e-6, 1e6])
def test_rows_that_half_precision_cannot_hold_are_refused(local, length):
    whole = local.encoder._matrix
    local.encoder._matrix = lambda text: whole(text) * np.float32(length)
    with pytest.raises(InvalidInputError, match="float32"):
        local.add(["one"], ids=["a"])
    assert points(local) == []


def test_a_window_that_no_server_takes_is_refused_before_anything_is_written(server):
    encoder = HashingEncoder(dim=2048, document_length=600)
    with QdrantCollection(server.url, "wide", encoder) as collection:
        with pytest.raises(InvalidInputError, match="1048576 numbers a window"):
            collection.add(["short", "word " * 600], ids=["a", "b"])
        assert points(collection) == []
        collection.drop()


def test_order_is_that_of_insertion_for_every_writer(pair):
    first, second = pair
    first.add(["same", "same"], ids=["z", "y"])
    second.add(["same"], ids=["x"])
    first.add(["same same", "same"], ids=["z", "w"])
    assert list(texts(second)) == ["z", "y", "x", "w"]
    assert [hit.id for hit in second.search("same", k=3)] == ["z", "y", "x"]


def test_an_iterator_is_stored_batch_by_batch(local, monkeypatch):
    monkeypatch.setattr(writing, "BATCH_DOCUMENTS", 2)
    with pytest.raises(InvalidInputError) as caught:
        local.add(iter(["one", "two", "three", ""]), ids=iter(["a", "b", "c", ""]))
    assert caught.value.added == 2
    assert list(texts(local)) == ["a", "b"]


def test_scores_order_and_passages_are_those_of_a_directory(server):
    encoder = HashingEncoder(dim=16, document_length=3)
    rng = np.random.default_rng(5)
    words = [f"w{number}" for number in range(30)]
    given = [" ".join(rng.choice(words, rng.integers(1, 12))) for _ in range(60)]
    with Collection(None, encoder) as disk, QdrantCollection(server.url, "same", encoder) as collection:
        for one in (disk, collection):
            one.add(given, ids=[str(number) for number in range(60)])
        for question in ("w1 w2 w3", "w7", "w9 w11 w28 w0"):
            expected = disk.search(question, k=12, exact=True)
            for options in ({"exact": True}, {"candidates": 400}):
                found = collection.search(question, k=12, **options)
                assert [hit.score for hit in found] == pytest.approx(
                    [hit.score for hit in expected], abs=2e-3
                )
                assert {hit.id for hit in found[:8]} <= {hit.id for hit in expected}
        collection.drop()


def test_few_candidates_are_doubled_until_k_documents_are_found(remote):
    remote.add(
        [f"{LONG} {number}" for number in range(20)], metadatas=[{"n": number} for number in range(20)]
    )
    assert len(remote.search("one", k=20, candidates=1)) == 20
    found = remote.search("one", k=3, candidates=1, filter=lambda one: one.metadata["n"] > 15)
    assert len(found) == 3


def test_more_than_there_are_means_all_of_them(server, remote):
    remote.add(["one two three four five", "six"], ids=["a", "b"])
    server.reset()
    for options in ({"k": 10**400}, {"candidates": 10**400}, {"k": 10**400, "exact": True}):
        assert [hit.id for hit in remote.search("one", **options)] == ["a", "b"]
    searches = [
        one for body in server.bodies if b'"searches"' in body for one in json.loads(body)["searches"]
    ]
    assert max(one["limit"] for one in searches) <= 64


def test_many_questions_are_one_request(server, remote):
    remote.add(["one two", "three four"], ids=["a", "b"])
    server.reset()
    found = remote.search_many(["one", "three", "", "four two"], k=1)
    assert [[hit.id for hit in one] for one in found] == [["a"], ["b"], [], [found[3][0].id]]
    assert server.count("/query/batch") == 1


def test_quantised_vectors_are_rescored(server):
    codes = models.ScalarQuantization(scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8))
    with QdrantCollection(server.url, "codes", HashingEncoder(), quantization=codes) as collection:
        collection.add(["one two"], ids=["a"])
        server.reset()
        assert collection.search("one two")[0].score == pytest.approx(2, abs=2e-3)
        [body] = [json.loads(body) for body in server.bodies if b'"searches"' in body]
        [search] = body["searches"]
        assert search["params"]["quantization"]["rescore"]
        assert search["prefetch"]["params"]["quantization"]["rescore"]
        collection.drop()


def test_what_comes_back_from_a_server_is_clipped_to_bytes():
    values, scales = np.array([[9, -9]], np.float32), np.array([0.01], np.float32)
    assert restored(values, scales, 8).tolist() == [[255, 0, 128, 128]]
    values = turned_back(np.array([[9, -9, 9, 9, 9, 9, 9, 9]], np.float32), 8)
    assert restored(values, scales, 4).tolist() == [[0xFF, 0xF0, 0xFF, 0xFF]]


@pytest.mark.parametrize("dim", [8, 96, 128, 384])
def test_rows_of_4_bits_survive_half_precision(dim):
    given = np.random.default_rng(dim).standard_normal((20_000, dim)).astype(np.float32)
    given *= np.random.default_rng(1).choice([0, 0.1, 1, 5], given.shape)
    given[0] = 0
    given[1:9] = np.eye(8, dim)
    given[9:] /= np.linalg.norm(given[9:], axis=1, keepdims=True) + np.float32(1e-9)
    rows, scales = quantize(given, 4)
    halves = dequantize(rows, scales, dim, 4).astype(np.float16)
    assert np.array_equal(restored(halves[1:].astype(np.float32), scales[1:], 4), rows[1:])


def test_scales_are_in_the_payload(local):
    local.add(["one two three four five"], ids=["a"])
    assert all(SCALES in record.payload for record in points(local))


def test_questions_that_one_request_does_not_hold_go_in_several(remote, server, monkeypatch):
    remote.add([LONG, "other words", "more words"], ids=["a", "b", "c"])
    questions = ["one two three", "other", "more words", "", "nine"]
    expected = remote.search_many(questions, k=2)
    monkeypatch.setattr(batching, "BATCH_BYTES", 64 * 14 * 6)  # a question of five rows and its mean
    server.reset()
    assert remote.search_many(questions, k=2) == expected
    assert server.count("query/batch") == 2
