"""A catalogue whose parts disagree: a named error, where one part gave what another does not have."""

import sqlite3
from contextlib import closing

import pytest

from retrievers import Collection
from retrievers.errors import CorruptStoreError, RetrieversError
from retrievers.testing import HashingEncoder


def damaged(path, changes, tree="sqlite_autoindex_documents_1"):
    """A collection of three documents in whose index of ids, or another tree, bytes were replaced by others."""
    with Collection(path, HashingEncoder()) as collection:
        collection.add(["A bat sings.", "A bee sings.", "A cat sings."], ids=["bat", "bee", "cat"])
    with closing(sqlite3.connect(path / "catalog.sqlite")) as connection:
        [[page]] = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", [tree])
        [[size]] = connection.execute("PRAGMA page_size")
    content = bytearray((path / "catalog.sqlite").read_bytes())
    for before, after in changes.items():
        place = content.index(before, (page - 1) * size, page * size)
        content[place : place + len(before)] = after
    (path / "catalog.sqlite").write_bytes(content)


@pytest.fixture
def misled(tmp_path):
    """The index of ids has another letter than the table of documents."""
    damaged(tmp_path / "index", {b"bee": b"bef"})
    with Collection(tmp_path / "index", HashingEncoder()) as collection:
        yield collection


@pytest.fixture
def swapped(tmp_path):
    """The index of ids leads from `bee` to the row of `cat`, and from `cat` to that of `bee`."""
    damaged(tmp_path / "index", {b"bee\x02": b"bee\x03", b"cat\x03": b"cat\x02"})
    with Collection(tmp_path / "index", HashingEncoder()) as collection:
        yield collection


@pytest.mark.parametrize(
    "call",
    [
        lambda collection: collection.search("What does a bee do?", k=2, passages=2),
        lambda collection: collection.search("What does a bee do?", ids=["bee"]),
        lambda collection: collection.get(["bee"]),
        lambda collection: collection.delete(["cat"]),
        lambda collection: collection.add(["A dog barks."], ids=["cat"]),
        lambda collection: collection.update(["bee"], [{"year": 1}]),
    ],
)
def test_what_the_index_of_ids_says_is_compared_with_the_documents(swapped, call):
    with pytest.raises(CorruptStoreError, match="the index of ids leads from"):
        call(swapped)
    assert [hit.id for hit in swapped.search("A cat sings.", k=1)] == ["cat"]


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


@pytest.mark.parametrize(
    "call",
    [
        lambda collection: collection.get(limit=5),
        lambda collection: collection.get(filter=lambda document: True),
        lambda collection: collection.search("What does a cat do?", filter=lambda document: True),
        lambda collection: collection.delete(filter=lambda document: True),
    ],
)
def test_a_document_that_is_listed_and_not_found_is_damage(tmp_path, call):
    """The third row of the table of documents says that it is row 0, behind the second."""
    damaged(tmp_path / "index", {b"\x03\x06\x00\x13\x2c": b"\x00\x06\x00\x13\x2c"}, "documents")
    with (
        Collection(tmp_path / "index", HashingEncoder()) as collection,
        pytest.raises(CorruptStoreError, match="that it does not have: numbers"),
    ):
        call(collection)
