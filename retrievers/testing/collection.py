"""A conformance suite for collections: what SearchableCollection means, as tests that a new backend subclasses.

    class TestOnMyServer(CollectionConformance):
        @pytest.fixture
        def collection(self):
            return MyCollection("name", HashingEncoder())

The collection must be empty and have a HashingEncoder of this package with its default settings, by which equal words
match exactly, so that every score in the suite is known. Where its rows have 4 bits, the class says so: `bits = 4`. It
needs pytest. With `pytest.register_assert_rewrite("retrievers.testing")` in conftest.py a failure shows the values.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

from retrievers.errors import (
    FilterError,
    InvalidInputError,
    InvalidTypeError,
    UnsupportedError,
)
from retrievers.testing.blends import Blends
from retrievers.testing.computed import ComputedMatrices
from retrievers.testing.samples import BERLIN, BREAD, METADATA, PARIS, names
from retrievers.testing.sources import SourcesAndAttachments
from retrievers.types import Document, Hits, SearchableCollection


class CollectionConformance(Blends, ComputedMatrices, SourcesAndAttachments):
    """What a collection must do, whatever keeps its documents."""

    @pytest.fixture
    def collection(self) -> SearchableCollection:
        """An empty collection with a HashingEncoder(): override this."""
        raise NotImplementedError("give the suite a fixture `collection` that returns an empty collection.")

    @pytest.fixture
    def filled(self, collection: SearchableCollection) -> SearchableCollection:
        """The collection with three documents, a, b and c."""
        collection.add([PARIS, BERLIN, BREAD], ids=["a", "b", "c"], metadatas=METADATA)
        return collection

    # Adding, replacing, deleting

    def test_it_is_a_searchable_collection(self, collection: SearchableCollection) -> None:
        assert isinstance(collection, SearchableCollection)
        assert collection.fingerprint["model"] == collection.encoder.fingerprint["model"]

    def test_a_new_collection_is_empty(self, collection: SearchableCollection) -> None:
        assert len(collection) == 0
        assert collection.get() == []
        assert collection.search("anything") == []
        assert collection.delete(["nothing"]) == 0
        assert collection.clear() == 0

    def test_what_was_added_comes_back_as_it_was(self, filled: SearchableCollection) -> None:
        expected = [
            Document(text, key, metadata)
            for text, key, metadata in zip((PARIS, BERLIN, BREAD), "abc", METADATA, strict=True)
        ]
        assert filled.get() == expected
        assert filled.get(["c", "nowhere", "a"]) == [expected[2], expected[0]]
        assert len(filled) == 3
        assert "a" in filled
        assert "nowhere" not in filled

    def test_ids_are_made_up_where_none_are_given(self, collection: SearchableCollection) -> None:
        made = collection.add([PARIS, BERLIN], ids=[None, "b"])
        assert made[1] == "b"
        assert names(collection.get()) == made

    def test_an_id_is_replaced_and_keeps_its_place(self, filled: SearchableCollection) -> None:
        assert filled.add(["Rome is the capital of Italy."], ids=["a"], metadatas=[{"n": 1}]) == ["a"]
        assert filled.get(["a"]) == [Document("Rome is the capital of Italy.", "a", {"n": 1})]
        assert names(filled.search("capital", k=2)) == ["a", "b"]
        assert names(filled.search("Paris", k=1, score_threshold=0.9)) == []

    def test_metadata_alone_is_replaced(self, filled: SearchableCollection) -> None:
        filled.add([PARIS], ids=["a"], metadatas=[{"topic": "river"}])
        assert filled.get(["a"])[0].metadata == {"topic": "river"}
        assert names(filled.search("capital", filter={"topic": "city"})) == ["b"]
        assert len(filled) == 3

    def test_deleted_documents_are_gone_at_once(self, filled: SearchableCollection) -> None:
        assert filled.delete(["a", "nowhere"]) == 1
        assert names(filled.search("capital of France", k=5))[0] == "b"
        assert filled.delete(filter={"topic": "food"}) == 1
        assert names(filled.get()) == ["b"]
        assert filled.delete(filter=lambda document: document.text == BERLIN) == 1
        assert len(filled) == 0

    def test_clear_removes_everything(self, filled: SearchableCollection) -> None:
        assert filled.clear() == 3
        assert len(filled) == 0
        assert filled.add([PARIS], ids=["a"]) == ["a"]

    def test_a_document_keeps_the_context_that_was_encoded_before_it(
        self, collection: SearchableCollection
    ) -> None:
        given = Document("It rises at dawn.", "a", {}, context="sun\n")
        collection.add([given, Document("It rises at dawn.", "b", {})])
        assert collection.get(["a"]) == [given]
        [best, _] = collection.search("sun", k=2)
        assert best.id == "a"
        assert best.score == pytest.approx(1, abs=0.02)
        assert collection.explain("sun dawn", best).matches[0].text == ""

    # Searching

    def test_a_hit_says_what_where_and_how_well(self, filled: SearchableCollection) -> None:
        hit = filled.search("capital of France", k=1)[0]
        assert (hit.id, hit.text, hit.metadata, hit.position) == ("a", PARIS, METADATA[0], None)
        assert hit.score == pytest.approx(3, abs=0.05)  # three words, each with an exact match
        assert hit.normalized_score == pytest.approx(1, abs=0.02)
        assert hit.passage is not None
        assert PARIS[hit.passage.start : hit.passage.end] == hit.passage.text
        assert hit.passage.number == 0

    def test_hits_are_a_list_that_knows_its_question(self, filled: SearchableCollection) -> None:
        found = filled.search("capital of France", k=3)
        assert isinstance(found, Hits)
        assert (found.query, found.matrix.shape) == ("capital of France", (3, filled.encoder.dim))
        assert found == list(found)
        assert isinstance(found[:2], Hits)
        assert found[:2].query == found.query
        assert copy.copy(found) == found

    def test_equal_scores_keep_the_order_of_insertion(self, collection: SearchableCollection) -> None:
        collection.add(["same words"] * 5, ids=list("edcba"))
        assert names(collection.search("same words", k=5)) == list("edcba")
        assert names(collection.search("same words", k=2)) == list("ed")

    def test_filters_and_ids_hold_before_k(self, filled: SearchableCollection) -> None:
        question = "capital of France"
        assert names(filled.search(question, k=1, filter={"topic": "food"})) == ["c"]
        assert names(filled.search(question, k=1, filter=lambda one: one.id != "a")) == ["b"]
        assert names(filled.search(question, k=1, ids=["c", "b", "nowhere"])) == ["b"]
        assert names(filled.search(question, k=2, ids=["c", "a"], filter={"topic": "city"})) == ["a"]
        assert filled.search(question, ids=[]) == []
        assert filled.search(question, ids=["nowhere"]) == []
        assert filled.search_many([question, "flour"], ids=[]) == [[], []]

    @pytest.mark.parametrize(
        ("condition", "expected"),
        [
            ({"topic": "city"}, "ab"),
            ({"topic": {"$ne": "city"}}, "c"),
            ({"people": {"$gt": 2.5}}, "b"),
            ({"people": {"$lte": 2.1}}, "a"),
            ({"topic": {"$in": ["food", "sea"]}}, "c"),
            ({"topic": {"$in": []}}, ""),
            ({"name": {"$nin": ["x"]}}, "abc"),
            ({"tags": {"$contains": "river"}}, "a"),
            ({"tags": {"$any": ["sea", "old"]}}, "a"),
            ({"tags": {"$all": ["river", "old"]}}, "a"),
            ({"tags": {"$is_empty": True}}, "bc"),
            ({"deep.a.b": 1}, "a"),
            ({"seen": False}, "b"),
            ({"name": {"$text_match": "Brö"}}, "c"),
            ({"name": {"$text_match_insensitive": "BRÖ"}}, "c"),
            ({"$or": [{"topic": "food"}, {"seen": True}]}, "ac"),
            ({"$not": {"topic": "city"}}, "c"),
        ],
        ids=str,
    )
    def test_a_filter_keeps(
        self, filled: SearchableCollection, condition: dict[str, Any], expected: str
    ) -> None:
        assert sorted(str(key) for key in names(filled.search("the", k=9, filter=condition))) == list(
            expected
        )
        assert names(filled.get(filter=condition)) == list(expected)

    def test_a_threshold_is_about_the_normalized_score(self, filled: SearchableCollection) -> None:
        assert names(filled.search("capital of France", score_threshold=0.95)) == ["a"]
        assert filled.search("zebra quagga", score_threshold=0.95) == []

    def test_many_questions_find_what_each_finds_alone(self, filled: SearchableCollection) -> None:
        questions = ["capital of France", "flour", "", "Germany"]
        assert filled.search_many(questions, k=2) == [filled.search(one, k=2) for one in questions]

    def test_a_question_without_tokens_finds_nothing(self, filled: SearchableCollection) -> None:
        assert [filled.search(question) for question in ("", "  \n", "?!")] == [[], [], []]

    def test_a_long_document_is_found_by_its_best_window(self, collection: SearchableCollection) -> None:
        words = [f"word{number}" for number in range(150)]  # three windows of 64 words
        collection.add([" ".join(words), "word149 alone"], ids=["long", "short"])
        hit = collection.search("word140 word149", k=1)[0]
        assert hit.id == "long"
        assert hit.passage is not None
        assert hit.passage.number == 2
        assert hit.passage.text == hit.text[hit.passage.start : hit.passage.end] == " ".join(words[128:])

    def test_windows_of_equal_text_are_told_apart(self, collection: SearchableCollection) -> None:
        words = " ".join(["same"] * 64)
        collection.add([f"{words} {words}"], ids=["twins"])
        hit = collection.search("same", k=1)[0]
        assert hit.passage is not None
        assert hit.passage.number == 0
        [match] = collection.explain("same", hit).matches
        assert hit.passage.start <= match.start < hit.passage.end

    def test_passages_are_the_best_windows_or_are_refused_by_name(
        self, collection: SearchableCollection
    ) -> None:
        words = [f"word{number}" for number in range(150)]  # three windows of 64 words
        collection.add([" ".join(words)], ids=["long"])
        try:
            [hit] = collection.search("word140 word149 word3", k=1, passages=2)
        except UnsupportedError:
            return
        assert [passage.window.number for passage in hit.passages] == [2, 0]
        assert hit.passages[0].window == hit.passage
        assert hit.passages[0].score == pytest.approx(hit.score, abs=1e-4)
        assert hit.passages[1].normalized_score == pytest.approx(hit.passages[1].score / 3, abs=1e-4)
        [hit] = collection.search("word140 word149", k=1, passages=9, score_threshold=0.9)
        assert [passage.window.number for passage in hit.passages] == [2]

    def test_groups_have_no_more_hits_than_they_may_or_are_refused_by_name(
        self, filled: SearchableCollection
    ) -> None:
        try:
            found = filled.search("capital of Germany", k=3, group_by="topic")
        except UnsupportedError:
            return
        assert names(found) == ["b", "c"]
        assert names(filled.search("capital of Germany", k=3, group_by="topic", group_size=2)) == [
            "b",
            "a",
            "c",
        ]
        assert len(filled.search("capital of Germany", k=3, group_by="nowhere")) == 3

    # Reranking, evidence, matrices

    def test_rerank_orders_stored_and_other_texts_alike(self, filled: SearchableCollection) -> None:
        given: list[str | Document] = [BREAD, Document(PARIS, "a"), "A capital in France."]
        found = filled.rerank("capital of France", given)
        assert [hit.position for hit in found] == [1, 2, 0]
        assert found[0].score == pytest.approx(filled.search("capital of France", k=1)[0].score, abs=1e-4)
        assert names(filled.rerank("flour", ids=["a", "c"], top_n=1)) == ["c"]
        assert len(filled) == 3  # nothing that was only reranked is stored

    def test_rerank_keeps_the_order_of_equal_scores(self, filled: SearchableCollection) -> None:
        found = filled.rerank("zebra", ["one", "one", "one"])
        assert [hit.position for hit in found] == [0, 1, 2]
        assert filled.rerank("zebra", []) == []

    def test_evidence_points_into_the_text(self, filled: SearchableCollection) -> None:
        hit = filled.search("capital of France", k=1)[0]
        evidence = filled.explain("capital of France", hit)
        assert [match.query_token for match in evidence.matches] == ["capital", "of", "france"]
        assert [PARIS[match.start : match.end] for match in evidence.matches] == ["capital", "of", "France"]
        assert evidence.score == pytest.approx(hit.score, abs=0.05)
        assert filled.explain("capital of France", "a") == evidence

    def test_matrices_are_the_rows_of_the_passages(self, filled: SearchableCollection) -> None:
        found = filled.search("capital flour", k=3)
        expected = list(filled.encoder.encode_documents([hit.passage.text for hit in found if hit.passage]))
        for matrix, rows in zip(filled.matrices(found), expected, strict=True):
            assert matrix == pytest.approx(rows, abs=0.01 if self.bits == 8 else 0.1)
        filled.delete(["c"])
        filled.add(["Other words"], ids=["a"])
        kept = {hit.id: len(matrix) for hit, matrix in zip(found, filled.matrices(found), strict=True)}
        assert kept == {"a": 0, "b": 6, "c": 0}

    # Refusals

    def test_bad_arguments_are_errors_and_change_nothing(self, filled: SearchableCollection) -> None:
        before = filled.get()
        wrong: list[Any] = [
            lambda: filled.add([PARIS, BERLIN], ids=["x", "x"]),
            lambda: filled.add([PARIS], ids=["x", "y"]),
            lambda: filled.add([PARIS], ids=[""]),
            lambda: filled.add([PARIS], metadatas=[{"x": float("nan")}]),
            lambda: filled.delete(),
            lambda: filled.delete(["a"], filter={"topic": "city"}),
            lambda: filled.get(["a"], filter={"topic": "city"}),
            lambda: filled.search("x", k=0),
            lambda: filled.rerank("x"),
            lambda: filled.rerank("x", ids=["nowhere"]),
            lambda: filled.explain("x", "nowhere"),
        ]
        for call in wrong:
            with pytest.raises(InvalidInputError):
                call()
        for call in (lambda: filled.add("text"), lambda: filled.delete("a"), lambda: filled.search(7)):  # type: ignore[arg-type]
            with pytest.raises(InvalidTypeError):
                call()
        with pytest.raises(FilterError):
            filled.search("x", filter={"topic": {"$like": "c"}})
        assert filled.get() == before

    def test_rows_are_of_length_one(self, filled: SearchableCollection) -> None:
        for matrix in filled.matrices(filled.search("capital flour", k=3)):
            assert np.linalg.norm(matrix, axis=1) == pytest.approx(1, abs=0.01)
