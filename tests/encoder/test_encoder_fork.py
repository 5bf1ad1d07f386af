"""A child that is forked can encode and load models, after its parent encoded and while another thread of it does."""

import os
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from retrievers.encoder import LateInteractionEncoder, loading
from retrievers.kernels import fork
from tests.forks import answer_of_child, held_by_another_thread, needs_fork, threads_warning

pytestmark = [needs_fork, threads_warning]

GOLDEN = str(Path(__file__).parents[1] / "golden" / "pylate-bert")
TEXT = "Bread rises because yeast makes gas in the warm dough. " * 20


def some_rows(encoder):
    """Rows of the text, few enough for a pipe."""
    [rows] = encoder.encode_documents([TEXT])
    return rows[::20]


@pytest.fixture
def parent(minilm):
    """The offline model, with two threads of torch at work before the fork."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield minilm, some_rows(minilm)
    torch.set_num_threads(before)


def test_a_child_encodes_with_the_model_of_its_parent(parent):
    encoder, expected = parent
    rows = answer_of_child(lambda: some_rows(encoder))
    np.testing.assert_allclose(rows, expected, atol=1e-5)


def test_a_child_loads_a_model_of_its_own(parent):
    _, expected = parent
    rows = answer_of_child(lambda: some_rows(LateInteractionEncoder("offline/minilm")))
    np.testing.assert_allclose(rows, expected, atol=1e-5)


def test_a_child_encodes_while_the_parent_tokenizes_for_ever(parent, monkeypatch):
    monkeypatch.setattr(fork, "PATIENCE", 0.0)
    encoder, expected = parent
    with held_by_another_thread(encoder._preprocess._guard.lock):
        rows = answer_of_child(lambda: some_rows(encoder))
    np.testing.assert_allclose(rows, expected, atol=1e-5)


def test_a_child_loads_a_checkpoint_while_the_parent_loads_one_for_ever(monkeypatch):
    monkeypatch.setattr(fork, "PATIENCE", 0.0)
    with held_by_another_thread(loading._loading.lock):
        assert answer_of_child(lambda: LateInteractionEncoder(GOLDEN, device="cpu").dim) == 8


def test_a_fork_waits_until_no_thread_is_within_the_tokenizer(parent):
    """It is busy for ever in a child that was forked meanwhile."""
    encoder, _ = parent
    forking, free = threading.Event(), threading.Event()
    taken, done = threading.Event(), []

    def tokenize():
        with encoder._preprocess._guard.lock:
            taken.set()
            forking.wait(60)
            done.append(1)
        free.set()

    other = threading.Thread(target=tokenize)
    other.start()
    assert taken.wait(30)
    os.register_at_fork(before=forking.set)  # what is registered last is done first
    assert answer_of_child(lambda: list(done)) == [1]
    assert free.wait(30)
    other.join(30)
