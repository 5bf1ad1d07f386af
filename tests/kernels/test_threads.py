"""Many callers at once, forked children, and helpers that never come."""

import contextlib
import multiprocessing
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest

from retrievers.kernels import maxsim as module
from retrievers.kernels import targets, threads
from retrievers.kernels.maxsim import maxsim
from tests.kernels.cases import make_case


@pytest.fixture
def always_helped(monkeypatch):
    """Every scan is worth seven threads."""
    monkeypatch.setattr(module, "helpers", lambda multiplications: 7)


def test_cores_are_those_that_the_process_may_use():
    expected = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert threads.cores() == expected


def test_helpers_take_part_and_every_run_has_ended_on_return(monkeypatch):
    monkeypatch.setattr(threads._state, "pool", ThreadPoolExecutor(3))
    runs, together = [], threading.Barrier(4, timeout=30)

    def work():
        together.wait()
        time.sleep(0.01)
        runs.append(threading.current_thread())

    threads.share(work, 3)
    assert len(set(runs)) == 4
    assert threading.current_thread() in runs


def test_a_caller_does_not_wait_for_busy_helpers(monkeypatch):
    monkeypatch.setattr(threads._state, "pool", ThreadPoolExecutor(1))
    free, runs = threading.Event(), []
    threads._state.pool.submit(free.wait, 60)
    threads.share(lambda: runs.append(1), 1)
    assert runs == [1]
    free.set()


@pytest.mark.skipif(threads._core() < 0 or threads.cores() < 2, reason="one core, or none can be chosen")
def test_helpers_stay_off_the_core_of_their_caller(monkeypatch):
    monkeypatch.setattr(threads._state, "pool", None)
    allowed, places = os.sched_getaffinity(0), {}

    def work(together):
        together.wait()  # passes only if a helper comes
        places[threading.current_thread()] = os.sched_getaffinity(0)

    threads.share(partial(work, threading.Barrier(2, timeout=30)), 1)  # from now on there is a helper
    for core in sorted(allowed)[:2] * 2:
        monkeypatch.setattr(threads, "_core", lambda here=core: here)
        places.clear()
        threads.share(partial(work, threading.Barrier(2, timeout=30)), 1)
        assert places.pop(threading.current_thread()) == allowed  # a caller runs where it likes
        assert list(places.values()) == [allowed - {core}]


def test_an_error_of_a_helper_reaches_the_caller(monkeypatch):
    monkeypatch.setattr(threads._state, "pool", ThreadPoolExecutor(1))
    started, caller = threading.Event(), threading.current_thread()

    def work():
        if threading.current_thread() is caller:
            assert started.wait(30)
        else:
            started.set()
            raise MemoryError("no scratch")

    with pytest.raises(MemoryError, match="no scratch"):
        threads.share(work, 1)


def test_without_any_helper_the_caller_does_it_alone(monkeypatch):
    ended = ThreadPoolExecutor(1)
    ended.shutdown()
    monkeypatch.setattr(threads._state, "pool", ended)
    runs = []
    threads.share(lambda: runs.append(1), 4)
    assert runs == [1]


def test_helped_scans_equal_lone_ones(target, always_helped, monkeypatch):
    case = make_case(seed=0, dim=48, lengths=list(range(90)), query_lengths=[14, 20])
    helped = maxsim(*case, target)
    monkeypatch.setattr(module, "helpers", lambda multiplications: 0)
    assert (maxsim(*case, target) == helped).all()


def test_32_threads_get_right_answers(always_helped):
    cases = [make_case(seed, 64, [30] * 40, [seed % 40 + 1]) for seed in range(32)]
    target = targets.chosen_target()
    expected = [maxsim(*case, target) for case in cases]
    wrong = []

    def search(number):
        for _ in range(50):
            if (maxsim(*cases[number], target) != expected[number]).any():
                wrong.append(number)

    callers = [threading.Thread(target=search, args=(n,)) for n in range(32)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(timeout=120)
    assert not any(caller.is_alive() for caller in callers)
    assert wrong == []


def test_no_more_callers_than_cores_are_inside_at_once(monkeypatch):
    monkeypatch.setattr(threads._state, "turns", threads._Turns(3))
    inside, most, lock = [], [], threading.Lock()

    def work():
        with threads.turn():
            with lock:
                inside.append(1)
                most.append(len(inside))
            time.sleep(0.01)
            with lock:
                inside.pop()

    callers = [threading.Thread(target=work) for _ in range(12)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(timeout=60)
    assert max(most) == 3
    assert len(most) == 12


def _work_in_child(case, answers):
    together = threading.Barrier(2, timeout=30)  # passes only if a helper comes
    threads.share(together.wait, 1)
    with threads.turn():
        answers.put(maxsim(*case, targets.chosen_target()))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_has_helpers_of_its_own(always_helped):
    case = make_case(seed=1, dim=64, lengths=[30] * 200, query_lengths=[14])
    expected = maxsim(*case, targets.chosen_target())  # the parent's pool has its threads now
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    with (
        contextlib.ExitStack() as held
    ):  # as if other threads of the parent were searching, and making the pool
        for _ in range(threads.cores()):
            held.enter_context(threads.turn())
        held.enter_context(threads._state.lock)
        child = context.Process(target=_work_in_child, args=(case, answers))
        child.start()
    child.join(timeout=60)
    assert child.exitcode == 0
    np.testing.assert_array_equal(answers.get(), expected)
