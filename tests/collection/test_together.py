"""Searches that wait at the same time share a scan: the same answers, and each its own errors."""

from __future__ import annotations

import asyncio
import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from retrievers import Collection
from retrievers.collection import searching
from retrievers.collection import together as module
from retrievers.collection.asynchronous import asynchronous
from retrievers.collection.together import together
from retrievers.testing import HashingEncoder
from tests.forks import answer_of_child, held_by_another_thread, needs_fork, threads_warning
from tests.interrupts import interrupted_before, lines

WORDS = ["apple", "bread", "cedar", "delta", "eagle", "flint", "grape", "house"]
QUESTIONS = [f"{first} {second}" for first in WORDS for second in WORDS]


@pytest.fixture(scope="module")
def collection():
    with Collection(None, HashingEncoder()) as collection:
        collection.add([f"{one} and {other}" for one in WORDS for other in WORDS if one != other])
        yield collection


@pytest.fixture
def scans(monkeypatch):
    """The questions of each scan from now on."""
    scans, find = [], searching.find

    def noted(view, texts, *others, **options):
        scans.append(texts)
        return find(view, texts, *others, **options)

    monkeypatch.setattr(searching, "find", noted)
    return scans


@pytest.fixture
def busy():
    """Every turn is taken until the function is called: what asks meanwhile waits."""
    state = module.turn()
    places = state.qsize()
    for _ in range(places):
        state.get()
    freed = []

    def free():
        while len(freed) < places:
            freed.append(state.put(None))

    yield free
    free()


def wait_for(count):
    """Until so many searches wait."""
    reached = threading.Event()
    while sum(map(len, list(module._state.waiting.values()))) < count:
        reached.wait(0.001)


@pytest.fixture(scope="module")
def alone(collection):
    """What each question finds: two in one call share their scan with nobody."""
    return [collection.search_many([one] * 2, k=3)[0] for one in QUESTIONS]


def test_questions_that_wait_are_scanned_together_and_find_what_each_finds_alone(
    collection, alone, busy, scans
):
    with ThreadPoolExecutor(len(QUESTIONS)) as pool:
        asked = [pool.submit(collection.search, one, k=3) for one in QUESTIONS]
        wait_for(len(QUESTIONS))
        busy()
        found = [one.result(60) for one in asked]
    assert [[hit.id for hit in hits] for hits in found] == [[hit.id for hit in hits] for hits in alone]
    for ours, theirs in zip(found, alone, strict=True):
        assert [hit.score for hit in ours] == pytest.approx([hit.score for hit in theirs], abs=1e-5)
    assert sorted(text for texts in scans for text in texts) == sorted(QUESTIONS)
    assert len(scans) <= 4  # of 32 at most, in as many turns as there are


def test_only_questions_that_ask_alike_share_a_scan(collection, busy, scans):
    ways = [
        {},
        {"k": 3},
        {"filter": {"n": 1}},
        {"filter": {"n": True}},
        {"ids": ["a"]},
        {"ids": []},
        {"exact": True},
    ]
    with ThreadPoolExecutor(2 * len(ways)) as pool:
        asked = [pool.submit(collection.search, "apple", **way) for way in ways + ways]
        wait_for(len(asked))
        busy()
        for one in asked:
            one.result(60)
    assert [len(texts) for texts in scans] == [2] * len(ways)


def test_an_error_in_one_question_does_not_reach_another(busy):
    def scan(asked):
        if "bad" in asked:
            raise ValueError("bad")
        return [one.upper() for one in asked]

    with ThreadPoolExecutor(4) as pool:
        asked = {one: pool.submit(together, "key", [one], scan) for one in ("a", "bad", "b", "c")}
        wait_for(4)
        busy()
        assert [asked[one].result(60) for one in "abc"] == [["A"], ["B"], ["C"]]
        with pytest.raises(ValueError, match="bad"):
            asked["bad"].result(60)


def test_whoever_was_taken_by_a_thread_that_was_stopped_is_answered_all_the_same(busy):
    leaders = set()

    def scan(asked):
        if len(asked) > 1:
            leaders.add(threading.get_ident())
            raise SystemExit  # as a thread is stopped: nothing is caught
        return [one.upper() for one in asked]

    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(together, "key", [one], scan) for one in "abc"]
        wait_for(3)
        busy()
        ends = [one.exception(60) or one.result() for one in asked]
    assert len(leaders) == 1
    assert sorted(str(end) for end in ends if not isinstance(end, SystemExit)) == sorted(
        str([one.upper()]) for one, end in zip("abc", ends, strict=True) if not isinstance(end, SystemExit)
    )
    assert sum(isinstance(end, SystemExit) for end in ends) == 1


@pytest.mark.parametrize("function", [module._with_others, module._taken, module._answer, module._set])
def test_an_interrupt_leaves_no_turn_taken_and_no_lock(function):
    places = module.turn().qsize()
    for line in lines(function):
        with interrupted_before(function, line):
            together("key", ["a"], list)
        assert module.turn().qsize() == places, line
        assert not module._state.lock.locked(), line
        assert together("key", ["b"], list) == ["b"], line
        module._state.waiting.clear()


@needs_fork
@threads_warning
def test_a_child_searches_while_another_thread_of_its_parent_holds_the_lock(collection):
    with held_by_another_thread(module._state.lock):
        assert answer_of_child(lambda: len(collection.search("apple bread", k=3))) == 3


async def test_many_coroutines_ask_at_once_and_one_may_be_cancelled(collection, busy):
    twin = asynchronous(collection)
    asked = [asyncio.ensure_future(twin.asearch(one, k=2)) for one in QUESTIONS]
    await asyncio.to_thread(wait_for, len(QUESTIONS))  # more of them than the event loop's own threads
    asked[0].cancel()
    busy()
    found = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert [hits[0].id for hits in found[1:]] == [collection.search(one, k=2)[0].id for one in QUESTIONS[1:]]


def test_a_logger_says_how_long_each_stage_of_a_question_took(collection, caplog):
    with caplog.at_level(logging.DEBUG, logger="retrievers"):
        collection.search_many(["apple", "bread"], k=2)
        collection.search("cedar", k=2)
    said = [one.getMessage() for one in caplog.records if one.name == "retrievers"]
    assert [text.rpartition("; ")[2] for text in said] == ["2 scanned together"] * 2 + ["1 scanned together"]
    for text in said:
        assert [part.split()[-3] for part in text.partition(";")[0].split(", ")] == [
            "encoding", "selection", "scan", "fetch",
        ]  # fmt: skip
        assert "apple" not in text


def test_no_clock_is_asked_where_nobody_listens(collection, monkeypatch):
    monkeypatch.setattr("retrievers.collection.stages.perf_counter", lambda: pytest.fail("asked the time"))
    collection.search("apple", k=2)


def test_a_collection_that_is_warm_has_all_that_a_question_needs(tmp_path, minilm):
    with Collection(tmp_path / "c", minilm) as collection:
        collection.add(["apples and pears", "a railway"])
    with Collection.open(tmp_path / "c", encoder=minilm) as collection:
        collection.warm()
        assert collection.search("fruit", k=1)[0].text == "apples and pears"
    with Collection(None, HashingEncoder()) as empty:
        empty.warm()
