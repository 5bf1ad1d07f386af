"""Some damaged and hostile directories in every test run; `make fuzz` tries 20 000."""

import os
import sys

import pytest

if sys.platform == "win32":
    pytest.skip("the fuzzer forks", allow_module_level=True)

from tests.fuzz import consistent, mutate

COUNT = int(os.environ.get("RETRIEVERS_FUZZ", "500"))


def test_damaged_collections_give_named_errors_or_right_hits(show):
    counts = mutate.run(COUNT)
    show(f"{COUNT} damaged collections: {dict(sorted(counts.items()))}")
    assert counts["search: CorruptStoreError"] > COUNT / 3
    assert counts["search: answered"] > COUNT / 10


def test_damage_that_fits_every_checksum_gives_named_errors_or_right_hits(show):
    counts = consistent.run(COUNT // 10)
    show(f"{COUNT // 10} collections, damaged where no checksum shows it: {dict(sorted(counts.items()))}")
    assert counts["search: CorruptStoreError"] > COUNT / 100
    assert counts["search: answered"] > COUNT / 100
