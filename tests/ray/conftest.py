"""Ray on this machine, with two processors, for all tests of the folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # before ray is imported: nothing is sent anywhere

ray = pytest.importorskip("ray", reason='needs pip install "maxsim-retrievers[ray]"')
ROOT = str(Path(__file__).resolve().parents[2])


@pytest.fixture(scope="session")
def cluster():
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        object_store_memory=100 << 20,
        logging_level="ERROR",
        log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": ROOT, "OMP_NUM_THREADS": "1"}},
    )
    yield
    ray.shutdown()
