"""Ctrl-C while a search prepares what later searches use leaves no lock taken."""

import numpy as np
import pytest

from retrievers.search import gpu, pruned
from tests.interrupts import interrupted_before, lines
from tests.kernels.cases import unit
from tests.search import test_gpu, test_pruned


def view_with_centroids(rng):
    return test_pruned.make_view(np.full(20, 3), unit(rng.standard_normal((60, 32))))


def view_for_device(rng):
    return test_gpu.make_view(rng, [3] * 20, 32)


@pytest.mark.parametrize(
    ("module", "function", "make", "options"),
    [
        (pruned, pruned._index, view_with_centroids, {}),
        (gpu, gpu._resident, view_for_device, {"device": "cpu"}),
    ],
)
def test_an_interrupt_while_a_commit_is_prepared_leaves_its_lock_free(module, function, make, options):
    rng = np.random.default_rng(0)
    query = unit(rng.standard_normal((5, 32)))
    for line in lines(function):
        view = make(rng)
        with interrupted_before(function, line):
            module.rank(view, [query], None, 3, **options)
        assert not module._state.lock.locked(), line
