"""A program outside of the cluster: it needs `pip install "ray[client,default]"`, and a head that takes clients.

RAY_AUTH_MODE=disabled ray start --head --num-cpus=2
RAY_AUTH_MODE=disabled RAY_CLIENT=ray://127.0.0.1:10001 python -m pytest tests/ray/test_ray_client.py
"""

from __future__ import annotations

import os

import pytest
import ray

from retrievers import Collection
from retrievers.errors import InvalidTypeError
from retrievers.ray import index
from retrievers.testing import HashingEncoder
from tests.ray.conftest import ROOT
from tests.ray.dying import POISON
from tests.ray.test_ray_index import PARTS, assert_same_rows, blocks, one_process, passages

ADDRESS = os.environ.get("RAY_CLIENT")
pytestmark = pytest.mark.skipif(ADDRESS is None, reason="RAY_CLIENT names no cluster that takes clients")


@pytest.fixture(scope="module", autouse=True)
def connected():
    path = os.pathsep.join(filter(None, [ROOT, os.environ.get("PYTHONPATH")]))
    ray.init(ADDRESS, runtime_env={"env_vars": {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}})
    yield
    ray.shutdown()


def test_a_program_outside_of_the_cluster_fills_a_collection(tmp_path):
    rows = [{**row, "body": row["body"].replace(POISON, "")} for row in passages(600)]
    with Collection(tmp_path / "collection", HashingEncoder()) as collection:
        done = index(blocks(rows, 4), collection, **PARTS)
        assert (done.documents, len(collection)) == (600, 600)
        assert_same_rows(collection, one_process(rows, HashingEncoder()))


def test_what_a_worker_refuses_is_raised_there(tmp_path):
    rows = [{**row, "body": None if row["number"] == 30 else row["body"]} for row in passages(40)]
    with Collection(tmp_path / "collection", HashingEncoder()) as collection, pytest.raises(InvalidTypeError):
        index(blocks(rows, 1), collection, **PARTS)
