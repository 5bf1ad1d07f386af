"""What a collection keeps beside a document for an adapter, as tests: its source, and what is attached to it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from retrievers.testing.samples import BERLIN, PARIS, names
from retrievers.types import Document, KeepsSources, SearchableCollection


class SourcesAndAttachments:
    """Tests of the fixture `collection` of CollectionConformance."""

    def test_source_and_attachment_come_back_and_outlast_a_plain_text(
        self, collection: SearchableCollection
    ) -> None:
        given = Document(PARIS, "a", {"n": 1}, source="book", attachment={"kept": ["beside", None]})
        collection.add([given])
        assert collection.get(["a"]) == [given]
        assert collection.search("Paris", k=1)[0].attachment == given.attachment
        collection.add([BERLIN], ids=["a"], metadatas=[{"n": 2}])
        assert collection.get(["a"]) == [replace(given, text=BERLIN, metadata={"n": 2})]

    def test_an_attached_context_stays_while_the_metadata_do(self, collection: SearchableCollection) -> None:
        given = Document(PARIS, "a", {"n": 1}, context="n: 1\n", source="book", attachment={})
        collection.add([given])
        collection.add([PARIS], ids=["a"], metadatas=[{"n": 1}])
        assert collection.get(["a"]) == [given]
        collection.add([PARIS], ids=["a"], metadatas=[{"n": 2}])
        assert collection.get(["a"]) == [replace(given, context="", metadata={"n": 2})]

    def test_documents_are_looked_up_and_replaced_by_their_source(
        self, collection: SearchableCollection
    ) -> None:
        if not isinstance(collection, KeepsSources):
            pytest.skip("this collection does not look documents up by their source")
        collection.add([Document(f"part {n}", f"p{n}", {"n": n}, source="book") for n in range(3)])
        collection.add([PARIS, BERLIN], ids=["book", "other"])
        assert names(collection.get_sources(["book", "nowhere"])) == ["p0", "p1", "p2", "book"]
        assert names(collection.get_sources(["p0"])) == []  # it was cut from another
        assert collection.delete_among(["p0", "p1", "nowhere"], {"n": {"$gte": 1}}) == 1
        whole = [Document("part 2", "p2", source="book"), Document("part 4", "p4", source="book")]
        assert collection.add_sources(whole, ["book"]) == ["p2", "p4"]
        assert sorted(str(key) for key in names(collection.get())) == ["other", "p2", "p4"]
        assert collection.delete_sources(["book", "other"]) == 3
        assert len(collection) == 0
