"""Ctrl-C leaves no lock, no place and no right taken, wherever it comes."""

import signal
import threading
from contextlib import ExitStack
from queue import SimpleQueue
from types import BuiltinMethodType, MethodDescriptorType

import pytest
from llvmlite import ir

from retrievers.kernels import compile, fork, targets, threads
from retrievers.kernels.task import Layout
from tests.interrupts import interrupted_before, lines

TARGET = targets.TARGETS["portable"]
GIVING_BACK = (
    "_state.steering.discard(me)"  # one call in C that no interrupt can come before: it is tested alone
)


@pytest.fixture
def state(monkeypatch):
    """The state of a process whose threads have helped nobody yet."""
    state = threads._State()
    monkeypatch.setattr(threads, "_state", state)
    yield state
    if state.pool is not None:
        state.pool.shutdown()


def is_whole(state):
    """Whether nothing is taken, and a caller is still helped, by helpers that it may move about."""
    together, moved = threading.Barrier(2, timeout=30), []
    threads.share(lambda: (together.wait(), moved.extend(state.steering)), 1)
    return (
        not state.steering
        and not state.lock.locked()
        and state.turns.qsize() == threads.cores()
        and len(moved) == 2
    )


@pytest.mark.parametrize("function", ["share", "_submit", "_keep_apart", "_core", "_executor"])
def test_an_interrupt_before_any_line_of_sharing_work_leaves_nothing_taken(state, function):
    function = getattr(threads, function)
    happened = []
    for line in lines(function):
        if line == GIVING_BACK:
            continue
        state.pool, state.barred = None, -1
        with interrupted_before(function, line) as at:
            threads.share(lambda: None, 1)
        happened += at
        assert is_whole(state), line
    assert len(happened) >= len(lines(function)) // 2  # most lines were come to


def test_what_must_not_be_interrupted_is_a_single_call_of_a_method_in_c():
    assert isinstance(set().discard, BuiltinMethodType)
    turns = type(threads.turn())
    assert turns.__enter__ is SimpleQueue.get
    assert turns.__exit__ is SimpleQueue.put
    assert isinstance(SimpleQueue.get, MethodDescriptorType)  # in C: a Python function could be interrupted


def test_an_interrupt_at_the_beginning_of_a_turn_gives_it_back(state):
    def search():
        with threads.turn():
            return "found"

    with interrupted_before(search, 'return "found"') as happened:
        search()
    assert happened
    assert is_whole(state)
    assert search() == "found"


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="this system has no signals for a thread")
def test_an_interrupt_while_waiting_for_a_turn_takes_none(state):
    main = threading.get_ident()
    interrupting = threading.Thread(target=signal.pthread_kill, args=(main, signal.SIGINT))
    with ExitStack() as others:
        # What a shell starts in the background is born deaf to it.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        others.callback(signal.signal, signal.SIGINT, before)
        for _ in range(threads.cores()):
            others.enter_context(threads.turn())

        def wait():
            interrupting.start()
            with threads.turn():  # none is left: only the interrupt ends this
                raise AssertionError("there was a turn left")

        with pytest.raises(KeyboardInterrupt):
            wait()
        interrupting.join(60)
    assert is_whole(state)


def test_a_place_is_given_back_after_an_error(state):
    with pytest.raises(ZeroDivisionError), threads.turn():
        raise ZeroDivisionError
    assert is_whole(state)


def nothing(triple):
    """A module with a function that does nothing, which is compiled in no time."""
    unit = ir.Module("nothing")
    unit.triple = triple
    Layout().function(unit, "nothing").ret_void()
    return unit


@pytest.mark.parametrize("function", [compile.functions, compile._load, compile._let_others_finish])
def test_an_interrupted_compilation_is_done_again(monkeypatch, tmp_path, unbuilt, function):
    monkeypatch.setattr(compile, "_state", fork.Guard())

    def compiled():
        compile._let_others_finish()
        return compile.functions(("nothing",), TARGET, nothing, [("nothing", 0)])["nothing"]

    for number, line in enumerate(lines(function)):
        if line in ("if taken:", "lock.release()"):  # no interrupt comes before the end of this one call in C
            continue
        monkeypatch.setenv("RETRIEVERS_CACHE_DIR", str(tmp_path / str(number)))
        with interrupted_before(function, line):
            compiled()
        assert not compile._state.lock.locked(), line
        assert compiled()() is None
        compile._loaded.clear()
