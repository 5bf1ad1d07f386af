"""A child that is forked while another thread of its parent holds a lock can search, and ends."""

import numpy as np

from retrievers.search import exact, gpu, pruned
from tests.forks import answer_of_child, held_by_another_thread, needs_fork, threads_warning
from tests.kernels.cases import unit
from tests.search.test_gpu import close
from tests.search.test_gpu import make_view as make_view_for_device
from tests.search.test_pruned import make_view

pytestmark = [needs_fork, threads_warning]


def test_a_child_searches_by_centroids_while_the_parent_derives_its_index():
    rng = np.random.default_rng(0)
    view = make_view(np.full(200, 5), unit(rng.standard_normal((1000, 16))))
    query = unit(rng.standard_normal((4, 16)))

    def ask():
        return pruned.rank(view, [query], None, 5)  # the view is new to this process: it takes the lock

    with held_by_another_thread(pruned._state.lock):
        found = answer_of_child(ask)
    assert found == ask()


def test_a_child_searches_on_a_device_while_the_parent_copies_rows_there():
    rng = np.random.default_rng(0)
    view = make_view_for_device(rng, [3] * 20, 32)
    query = unit(rng.standard_normal((5, 32)))

    gpu.rank(view, [query], None, 3, device="cpu")  # torch's own threads stay in the parent, too

    def ask():
        return gpu.rank(view, [query], None, 3, device="cpu")

    with held_by_another_thread(gpu._state.lock):
        found = answer_of_child(ask)
    assert close(found, exact.rank(view, [query], None, 3))
