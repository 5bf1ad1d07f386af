"""A catalogue whose parts disagree: a named error, where one part gave what another does not have."""

import sqlite3
from contextlib import closing

import pytest

from retrievers import Collection
from retrievers.errors import CorruptStoreError, RetrieversError
from retrievers.testing import HashingEncoder


@pytest.fixture
def misled(tmp_path):
    """A collection whose index of ids has another letter than the table of documents."""
    path = tmp_path / "index"
    with Collection(path, HashingEncoder()) as collection:
        collection.add(["A bat sings.", "A bee sings.", "A cat sings."], ids=["bat", "bee", "cat"])
    with closing(sqlite3.connect(path / "catalog.sqlite")) as connection:
        [[page]] = connection.execute(
            "SELECT rootpage FROM sqlite_schema WHERE name = 'sqlite_autoindex_documents_1'"
        )
        [[size]] = connection.execute("PRAGMA page_size")
    content = bytearray((path / "catalog.sqlite").read_bytes())
    place = content.index(b"bee", (page - 1) * size, page * size)
    content[place : place + 3] = b"bef"
    (path / "catalog.sqlite").write_bytes(content)
    with Collection(path, HashingEncoder()) as collection:
        yield collection


def test_passages_of_a_hit_that_the_index_of_ids_does_not_have(misled):
    assert misled.search("What does a bee do?", k=1)[0].id == "bee"
    with pytest.raises(CorruptStoreError, match=r"index of ids does not have: \['bee'\]"):
        misled.search("What does a bee do?", k=1, passages=2)


def test_a_hit_that_the_index_of_ids_does_not_have_is_not_explained(misled):
    [hit] = misled.search("What does a bee do?", k=1)
    with pytest.raises(RetrieversError):
        misled.explain("What does a bee do?", hit)


def test_verify_finds_it(misled):
    assert misled.verify() != []
