"""A child that is forked after its parent encoded can encode and load models: torch's threads stay in the parent."""

import numpy as np
import pytest
import torch

from retrievers.encoder import LateInteractionEncoder
from tests.forks import answer_of_child, needs_fork, threads_warning

pytestmark = [needs_fork, threads_warning]

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
