"""Changes that replace a source whole, update without texts, page, and copy; and what they do beside another writer."""

from __future__ import annotations

import pytest

from retrievers import Collection, Document
from retrievers.collection import changing
from retrievers.errors import InvalidInputError, InvalidTypeError, StoreError
from retrievers.testing import HashingEncoder


def part(key: str, text: str, source: str = "book") -> Document:
    return Document(text, key, {"n": 1}, source=source)


def ids(found) -> list:
    return [one.id for one in found]


def test_a_source_is_replaced_whole_and_others_stay(collection, encoder):
    collection.add_sources(
        [part("a", "one"), part("b", "two"), part("x", "other", "paper")], ["book", "paper"]
    )
    before = encoder.encoded_documents
    assert collection.add_sources([part("b", "two"), part("c", "three")], ["book"]) == ["b", "c"]
    assert ids(collection.get()) == ["b", "x", "c"]
    assert encoder.encoded_documents - before == 1  # "two" was there
    assert collection.get(["c"])[0].source == "book"
    assert collection.add_sources([], ["book"]) == []
    assert ids(collection.get()) == ["x"]


def test_of_two_writers_of_one_source_the_later_wins_whole(tmp_path, encoder, monkeypatch):
    """The other writer comes between the batches of this one, and removes what this one has stored by then."""
    monkeypatch.setattr(changing, "BATCH_DOCUMENTS", 2)
    path = tmp_path / "collection"
    with Collection(path, encoder) as one, Collection(path, HashingEncoder()) as other:
        first = [part(f"a{n}", f"first {n}") for n in range(5)]
        second = [part(f"b{n}", f"second {n}") for n in range(5)]
        come = iter([lambda: other.add_sources(second, ["book"])])
        append = one.store.append

        def interrupted(*given, **options):
            if options.get("replaces"):
                next(come, lambda: None)()
            return append(*given, **options)

        monkeypatch.setattr(one.store, "append", interrupted)
        assert one.add_sources(first, ["book"]) == [f"a{n}" for n in range(5)]
        assert sorted(ids(other.get())) == [f"a{n}" for n in range(5)]
        assert {one.text for one in other.get()} == {f"first {n}" for n in range(5)}


def test_the_source_and_the_attachment_stay_where_a_rewriter_does_not_know_them(collection):
    collection.add([Document("one", "a", {"n": 1}, source="book", attachment={"next": "b"})])
    collection.add([Document("one", "a", {"n": 2})])
    [found] = collection.get(["a"])
    assert (found.metadata, found.source, found.attachment) == ({"n": 2}, "book", {"next": "b"})
    collection.add([Document("another text", "a", {"n": 2})])
    assert collection.get(["a"])[0].source == "book"


def test_metadata_are_updated_without_texts_and_without_the_model(collection, encoder):
    collection.add(["one", "two"], ids=["a", "b"], metadatas=[{"n": 1}, {"n": 2}])
    before = encoder.encoded_documents
    collection.update(["b", "a"], [{"n": 20}, {"n": 10}])
    assert [one.metadata for one in collection.get()] == [{"n": 10}, {"n": 20}]
    assert [one.text for one in collection.get()] == ["one", "two"]
    assert ids(collection.search("one two", filter={"n": 20})) == ["b"]
    assert encoder.encoded_documents == before


@pytest.mark.parametrize(
    ("names", "metadatas", "error"),
    [
        (["a", "nowhere"], [{}, {}], InvalidInputError),
        (["a", "a"], [{}, {}], InvalidInputError),
        (["a"], [{}, {}], InvalidInputError),
        ("a", [{}], InvalidTypeError),
        (["a"], [7], InvalidTypeError),
        (["a"], None, InvalidTypeError),
    ],
    ids=str,
)
def test_an_update_that_cannot_be_made_changes_nothing(collection, names, metadatas, error):
    collection.add(["one"], ids=["a"], metadatas=[{"n": 1}])
    with pytest.raises(error):
        collection.update(names, metadatas)
    assert collection.get(["a"])[0].metadata == {"n": 1}


def test_pages_follow_each_other_and_leave_nothing_out(collection):
    collection.add(
        [f"text {n}" for n in range(7)], ids=list("gfedcba"), metadatas=[{"n": n % 2} for n in range(7)]
    )
    for condition in (None, {"n": 0}, lambda document: document.metadata["n"] == 0):
        whole, pages, last = ids(collection.get(filter=condition)), [], None
        while page := collection.get(filter=condition, limit=2, after=last):
            assert len(page) <= 2
            pages += ids(page)
            last = pages[-1]
        assert pages == whole
    assert ids(collection.get(after="c")) == ["b", "a"]
    for wrong in ({"limit": 0}, {"after": "nowhere"}, {"ids": ["a"], "limit": 1}):
        with pytest.raises(InvalidInputError):
            collection.get(**wrong)


def test_a_backup_is_a_collection_of_its_own(collection, tmp_path, encoder):
    collection.add(["one", "two"], ids=["a", "b"], metadatas=[{"n": 1}, {"n": 2}])
    collection.backup(tmp_path / "copy")
    collection.add(["three"], ids=["c"])
    with Collection(tmp_path / "copy", encoder) as copy:
        assert [(one.id, one.text, one.metadata) for one in copy.get()] == [
            ("a", "one", {"n": 1}),
            ("b", "two", {"n": 2}),
        ]
        assert copy.search("two")[0].id == "b"
        copy.delete(["a"])
        assert copy.verify() == []
    assert ids(collection.get()) == ["a", "b", "c"]
    with pytest.raises(StoreError, match="exists"):
        collection.backup(tmp_path / "copy")
    with pytest.raises(InvalidTypeError):
        collection.backup(None)
