"""Children that are forked while another thread of their parent is in the middle of something."""

import multiprocessing
import os
import threading
from contextlib import contextmanager

import pytest

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
threads_warning = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


@contextmanager
def held_by_another_thread(lock):
    taken, free = threading.Event(), threading.Event()

    def hold():
        with lock:
            taken.set()
            free.wait(120)

    holder = threading.Thread(target=hold)
    holder.start()
    assert taken.wait(30)
    try:
        yield
    finally:
        free.set()
        holder.join(30)


def answer_of_child(ask):
    """What a forked child gets for a question; it must end by itself."""
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    child = context.Process(target=lambda: answers.put(ask()))
    child.start()
    child.join(60)
    try:
        assert child.exitcode == 0
    finally:
        child.kill()
    return answers.get()
