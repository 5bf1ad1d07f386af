"""Questions that wait at the same time are encoded together: the same rows, and each its own errors."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from retrievers.encoder import LateInteractionEncoder, together
from tests.encoder.conftest import GOLDEN
from tests.forks import answer_of_child, held_by_another_thread, needs_fork, threads_warning
from tests.interrupts import interrupted_before, lines

TEXTS = [f"Who wrote program number {number}, and when?" for number in range(24)]


@pytest.fixture(scope="module")
def encoder():
    return LateInteractionEncoder(str(GOLDEN / "pylate-bert"), precision="float32", device="cpu")


@pytest.fixture
def workers(encoder, monkeypatch):
    """Batches that were encoded; and the workers are busy until the event is set."""
    encoder.encode_queries(["first"])  # the workers are there
    free, batches, places = threading.Event(), [], together.cores()
    busy = threading.Barrier(places + 1)

    def hold():
        busy.wait(30)
        free.wait(30)

    for _ in range(places):
        together._executor(True).submit(hold)
    busy.wait(30)
    answer = together._answer

    def noted(asked, encode):
        batches.append(len(asked))
        answer(asked, encode)

    monkeypatch.setattr(together, "_answer", noted)
    yield free, batches
    free.set()


def wait_for(count):
    pause = threading.Event()
    while sum(map(len, list(together._state.waiting.values()))) < count:
        pause.wait(0.001)


def test_questions_that_wait_are_encoded_in_one_batch_a_worker(encoder, workers):
    free, batches = workers
    alone = [encoder._batched("query", encoder._preprocess([text], "query"))[0] for text in TEXTS]
    with ThreadPoolExecutor(len(TEXTS)) as pool:
        asked = [pool.submit(encoder.encode_queries, [text]) for text in TEXTS]
        wait_for(len(TEXTS))
        free.set()
        found = [one.result(60) for one in asked]
    for [ours], theirs in zip(found, alone, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)
    assert len([count for count in batches if count]) <= together.cores()
    assert sum(batches) == len(TEXTS)


def test_an_error_in_one_question_does_not_reach_another(workers):
    free, _ = workers

    def encode(features):
        if any(one == {"input_ids": [0]} for one in features):
            raise ValueError("bad")
        return [np.full((1, 1), one["input_ids"][0]) for one in features]

    with ThreadPoolExecutor(4) as pool:
        asked = [
            pool.submit(together.encode, "encoder", encode, [{"input_ids": [number]}], 1.0)
            for number in range(4)
        ]
        wait_for(4)
        free.set()
        with pytest.raises(ValueError, match="bad"):
            asked[0].result(60)
        assert [one.result(60)[0].item() for one in asked[1:]] == [1, 2, 3]


def test_the_number_of_threads_that_the_user_lets_torch_use_stays(encoder):
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        encoder.encode_queries(TEXTS[:1])
        later = []
        thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        assert (torch.get_num_threads(), later) == (3, [3])
        inside = []
        for small in (True, False):
            work = 1.0 if small else 2 * together.SMALL
            together.encode(
                "encoder",
                lambda asked: inside.append(torch.get_num_threads()) or [None],
                [{"input_ids": [1]}],
                work,
            )
        assert inside == [1, 3]
    finally:
        torch.set_num_threads(before)


def test_an_interrupted_question_leaves_nothing_behind(encoder):
    for line in lines(together.encode):
        with interrupted_before(together.encode, line):
            encoder.encode_queries(TEXTS[:1])
        assert not together._state.lock.locked(), line
        [rows] = encoder.encode_queries(TEXTS[:1])
        assert len(rows)


@needs_fork
@threads_warning
def test_a_child_encodes_questions_with_workers_of_its_own(encoder):
    [expected] = encoder.encode_queries(TEXTS[:1])
    with held_by_another_thread(together._state.lock):
        rows = answer_of_child(lambda: encoder.encode_queries(TEXTS[:1])[0])
    np.testing.assert_allclose(rows, expected, atol=1e-5)
