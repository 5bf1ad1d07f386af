"""A child that is forked while another thread of its parent compiles can compile, too."""

import os
import threading

import numpy as np

from retrievers.kernels import compile, fork, targets
from retrievers.kernels.maxsim import maxsim
from tests.forks import answer_of_child, held_by_another_thread, needs_fork, threads_warning
from tests.kernels.cases import make_case

pytestmark = [needs_fork, threads_warning]


def test_a_child_compiles_although_the_parent_does_so_for_ever(monkeypatch, unbuilt):
    monkeypatch.setenv("RETRIEVERS_CACHE_DIR", "")
    monkeypatch.setattr(compile, "PATIENCE", 0.0)
    case = make_case(seed=3, dim=20, lengths=[3, 9], query_lengths=[4])

    def ask():
        return maxsim(*case, targets.TARGETS["portable"])

    with held_by_another_thread(compile._state.lock):
        found = answer_of_child(ask)
    np.testing.assert_array_equal(found, ask())


def test_a_fork_waits_until_no_thread_is_within_the_compiler(monkeypatch, unbuilt):
    """LLVM has locks of its own, which a child could never take."""
    forking, done = threading.Event(), []
    original = compile._load

    def load(*given):
        compiling.set()
        assert forking.wait(60)
        loaded = original(*given)
        done.append(1)
        return loaded

    compiling = threading.Event()
    monkeypatch.setattr(compile, "_load", load)
    monkeypatch.setattr(compile, "PATIENCE", 120.0)
    case = make_case(seed=3, dim=20, lengths=[3, 9], query_lengths=[4])
    other = threading.Thread(target=maxsim, args=(*case, targets.TARGETS["portable"]))
    other.start()
    assert compiling.wait(30)
    os.register_at_fork(before=forking.set)  # what is registered last is done first
    assert answer_of_child(lambda: list(done)) == [1]
    other.join(60)


def test_state_of_a_process_is_made_anew_in_a_child():
    state = fork.per_process(fork.Guard)
    lock = state.lock
    with lock:
        child = os.fork()
        if child == 0:
            os._exit(0 if state.lock is not lock and not state.lock.locked() else 1)
        _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert state.lock is lock
