"""What a collection does for its user, on disk and in memory."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace

import pytest

from retrievers import Collection, Document, Window
from retrievers.errors import CorruptStoreError, DeviceMemoryError, InvalidTypeError, StoreError
from retrievers.kernels import threads
from retrievers.store.document_rows import text_checksum
from retrievers.testing import HashingEncoder

TEXTS = [
    "Paris is the capital of France.",
    "Berlin is the capital of Germany.",
    "Bread needs flour, water and salt.",
]


@pytest.fixture
def capitals(collection):
    collection.add(
        TEXTS, ids=["a", "b", "c"], metadatas=[{"topic": "city"}, {"topic": "city"}, {"topic": "food"}]
    )
    return collection


def ids(hits) -> list:
    return [hit.id for hit in hits]


def test_add_returns_the_ids_in_order(collection):
    assert collection.add(TEXTS, ids=["c", "a", "b"]) == ["c", "a", "b"]
    assert len(collection) == 3


def test_ids_are_made_up_where_none_are_given(collection):
    made = collection.add(TEXTS)
    assert len(set(made)) == 3
    assert [document.text for document in collection.get(made)] == TEXTS


def test_documents_bring_their_own_ids_and_arguments_beat_them(collection):
    items = [Document("one", "x", {"n": 1}), Document("two", "y", {"n": 2})]
    assert collection.add(items, ids=[None, "z"], metadatas=[None, {"n": 3}]) == ["x", "z"]
    assert [document.metadata for document in collection.get(["x", "z"])] == [{"n": 1}, {"n": 3}]


def test_a_hit_has_scores_text_metadata_and_passage(capitals):
    hit = capitals.search("capital of France", k=1)[0]
    assert (hit.id, hit.text, hit.metadata) == ("a", TEXTS[0], {"topic": "city"})
    assert hit.score == pytest.approx(3, abs=0.03)  # three words, each with an exact match
    assert hit.normalized_score == pytest.approx(1, abs=0.01)
    assert (
        hit.text[hit.passage.start : hit.passage.end] == hit.passage.text == "Paris is the capital of France"
    )
    assert hit.position is None


def test_better_matches_come_first(capitals):
    assert ids(capitals.search("flour and salt", k=3))[0] == "c"
    assert ids(capitals.search("the capital of Germany", k=3))[:2] == ["b", "a"]


def test_k_bounds_the_hits(capitals):
    assert len(capitals.search("capital", k=2)) == 2
    assert len(capitals.search("capital", k=100)) == 3


def test_a_filter_is_applied_before_k(capitals):
    assert ids(capitals.search("capital of France", k=1, filter={"topic": "food"})) == ["c"]


def test_a_function_of_a_document_is_a_filter(capitals):
    assert ids(capitals.search("capital", k=5, filter=lambda document: "flour" in document.text)) == ["c"]
    assert [document.id for document in capitals.get(filter=lambda document: document.id != "a")] == [
        "b",
        "c",
    ]


def test_a_function_that_filters_may_search_too_even_on_other_threads(capitals, monkeypatch):
    monkeypatch.setattr(threads._state, "turns", threads._Turns(1))

    def is_the_best(document):
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(capitals.search, "capital of France", k=1).result(30)[0].id == document.id

    assert ids(capitals.search("capital", k=5, filter=is_the_best)) == ["a"]


def test_a_threshold_drops_documents_that_match_too_little(capitals):
    assert ids(capitals.search("capital of France", k=3, score_threshold=0.95)) == ["a"]
    assert capitals.search("zebra quagga", k=3, score_threshold=0.95) == []


def test_equal_scores_keep_the_order_of_insertion(collection):
    collection.add(["same words"] * 5, ids=list("edcba"))
    assert ids(collection.search("same words", k=5)) == list("edcba")


def test_search_many_equals_single_searches(capitals):
    questions = ["capital of France", "flour", "", "Germany"]
    assert capitals.search_many(questions, k=2) == [capitals.search(question, k=2) for question in questions]


def test_a_query_without_tokens_finds_nothing(capitals):
    for query in ("", "   ", "\n", "?!"):
        assert capitals.search(query) == []


def test_an_empty_collection_finds_nothing(collection):
    assert collection.search("anything") == []
    assert collection.get() == []


def test_an_empty_text_is_stored_and_never_found(collection):
    collection.add(["", "   ", "words"], ids=["empty", "blank", "full"])
    assert len(collection) == 3
    assert [document.text for document in collection.get(["empty", "blank"])] == ["", "   "]
    assert ids(collection.search("words", k=5)) == ["full"]
    collection.delete(["empty"])
    assert len(collection) == 2


def test_a_long_text_is_found_by_its_last_words(tmp_path):
    filler = " ".join(f"word{number}" for number in range(300))
    text = f"{filler} zebra quagga."
    with Collection(tmp_path / "long", HashingEncoder(document_length=50)) as collection:
        collection.add([text, "zebra"], ids=["long", "short"])
        hit = collection.search("zebra quagga")[0]
        assert hit.id == "long"
        assert hit.passage.text.endswith("zebra quagga")
        assert text[hit.passage.start : hit.passage.end] == hit.passage.text
        assert hit.passage.start > 1000


def test_the_same_id_replaces_and_keeps_its_place(capitals):
    capitals.add(["Bread needs flour and yeast."], ids=["a"])
    assert len(capitals) == 3
    assert [document.id for document in capitals.get()] == ["a", "b", "c"]
    assert ids(capitals.search("France", k=3, score_threshold=0.9)) == []
    assert ids(capitals.search("yeast", k=1)) == ["a"]


def test_an_unchanged_text_is_not_encoded_again_but_its_metadata_is_updated(capitals, encoder):
    before = encoder.encoded_documents
    capitals.add([*TEXTS, "New."], ids=["a", "b", "c", "d"], metadatas=[{"v": 2}, {}, {}, {}])
    assert encoder.encoded_documents == before + 1
    assert capitals.get(["a"])[0].metadata == {"v": 2}


def test_an_interrupted_add_that_is_called_again_encodes_only_what_is_missing(
    collection, encoder, monkeypatch
):
    monkeypatch.setattr("retrievers.collection.changing.BATCH_DOCUMENTS", 10)
    documents = [Document(f"text number {n}", id=str(n)) for n in range(35)]
    encode = encoder.encode_documents

    def interrupted(texts):
        for matrix in encode(texts):
            if encoder.encoded_documents > 25:
                raise KeyboardInterrupt
            yield matrix

    monkeypatch.setattr(encoder, "encode_documents", interrupted)
    with pytest.raises(KeyboardInterrupt):
        collection.add(documents)
    assert [document.id for document in collection.get()] == [str(n) for n in range(20)]
    monkeypatch.setattr(encoder, "encode_documents", encode)
    before = encoder.encoded_documents
    collection.add(documents)
    assert encoder.encoded_documents - before == 15
    assert [document.id for document in collection.get()] == [str(n) for n in range(35)]


def test_delete_by_ids_ignores_unknown_ones(capitals):
    assert capitals.delete(["a", "nowhere"]) == 1
    assert "a" not in capitals
    assert "b" in capitals
    assert "a" not in ids(capitals.search("capital of France", k=3))


def test_delete_by_filter(capitals):
    assert capitals.delete(filter={"topic": "city"}) == 2
    assert [document.id for document in capitals.get()] == ["c"]


def test_delete_by_a_function(capitals):
    assert capitals.delete(filter=lambda document: document.metadata["topic"] == "food") == 1
    assert len(capitals) == 2


def test_get_gives_those_that_are_there_in_the_order_asked(capitals):
    assert [document.id for document in capitals.get(["c", "nowhere", "a"])] == ["c", "a"]
    assert capitals.get(filter={"topic": "food"}) == [Document(TEXTS[2], "c", {"topic": "food"})]


def test_rerank_of_texts_orders_them_and_names_their_places(capitals):
    hits = capitals.rerank("salt and water", ["nothing here", TEXTS[2], "salt"])
    assert [hit.position for hit in hits] == [1, 2, 0]
    assert hits[0].id is None
    assert len(capitals) == 3


def test_rerank_of_texts_that_are_stored_encodes_nothing_whatever_their_ids(capitals, encoder):
    expected = capitals.rerank("salt and water", ids=capitals_ids(capitals))
    encoded = encoder.encoded_documents
    named = [Document(text, id=f"new {place}") for place, text in enumerate(TEXTS)]
    for given in (TEXTS, named, [TEXTS[0], TEXTS[0], *TEXTS]):
        hits = capitals.rerank("salt and water", given)
        assert encoder.encoded_documents == encoded
        assert {(hit.text, hit.score, hit.passage) for hit in hits} == {
            (hit.text, hit.score, hit.passage) for hit in expected
        }
    assert [hit.id for hit in capitals.rerank("salt", TEXTS)] == [None] * len(TEXTS)
    assert {hit.id for hit in capitals.rerank("salt", named)} == {one.id for one in named}


def test_rerank_encodes_a_text_whose_only_equal_was_deleted_or_stands_under_another_context(
    capitals, encoder
):
    capitals.add([Document("the same words", id="with", context="a title ")])
    encoded = encoder.encoded_documents
    capitals.rerank("salt", ["the same words"])
    assert encoder.encoded_documents == encoded + 1
    capitals.delete(capitals_ids(capitals)[:1])
    capitals.rerank("salt", [TEXTS[0]])
    assert encoder.encoded_documents == encoded + 2


def capitals_ids(collection):
    return [document.id for document in collection.get()]


def test_rerank_of_stored_documents_encodes_nothing(capitals, encoder):
    before = encoder.encoded_documents
    by_id = capitals.rerank("capital of Germany", ids=["a", "b", "c"])
    by_document = capitals.rerank("capital of Germany", capitals.get(["a", "b", "c"]))
    assert ids(by_id) == ids(by_document) == ids(capitals.search("capital of Germany", k=3))
    assert [hit.score for hit in by_id] == [hit.score for hit in capitals.search("capital of Germany", k=3)]
    assert encoder.encoded_documents == before


def test_rerank_of_another_text_under_a_stored_id_scores_the_text_given(capitals):
    [hit] = capitals.rerank("zebra", [Document("zebra", "a")])
    assert hit.normalized_score == pytest.approx(1, abs=0.01)
    assert capitals.get(["a"])[0].text == TEXTS[0]


def test_rerank_of_a_stored_text_without_its_context_encodes_nothing(collection, encoder):
    collection.add([Document("It rises at dawn.", "a", {}, context="sun ")])
    before = encoder.encoded_documents
    [hit] = collection.rerank("sun dawn", [Document("It rises at dawn.", "a")])
    assert hit.score == collection.search("sun dawn")[0].score
    assert encoder.encoded_documents == before


def test_rerank_keeps_texts_without_tokens_at_the_end(capitals):
    hits = capitals.rerank("flour", ["", "flour"])
    assert [(hit.position, hit.normalized_score > 0.9) for hit in hits] == [(1, True), (0, False)]
    assert hits[1].passage is None


def test_rerank_by_an_empty_query_keeps_the_order(capitals):
    assert [hit.position for hit in capitals.rerank("", TEXTS)] == [0, 1, 2]


def test_rerank_top_n_and_threshold(capitals):
    assert [hit.position for hit in capitals.rerank("flour", TEXTS, top_n=1)] == [2]
    assert [hit.position for hit in capitals.rerank("flour", TEXTS, score_threshold=0.9)] == [2]


def test_a_collection_on_disk_is_there_again(tmp_path):
    path = tmp_path / "index"
    with Collection(path, HashingEncoder()) as collection:
        collection.add(TEXTS, ids=["a", "b", "c"])
        found = collection.search("capital of France", k=3)
    with Collection(path, HashingEncoder()) as collection:
        assert collection.search("capital of France", k=3) == found


def test_context_is_searched_and_never_shown(collection):
    collection.add(
        [Document("It rises at dawn.", "a", {}, context="sun \n"), Document("It rises in an oven.", "b")]
    )
    hit = collection.search("sun dawn", k=1)[0]
    assert (hit.id, hit.text) == ("a", "It rises at dawn.")
    assert hit.normalized_score == pytest.approx(1, abs=0.01)
    assert hit.passage.text == hit.text[hit.passage.start : hit.passage.end] == "It rises at dawn"
    assert collection.get(["a"])[0].context == "sun \n"


def test_another_context_is_another_content(collection, encoder):
    collection.add([Document("text", "a", {}, context="old ")])
    before = encoder.encoded_documents
    collection.add([Document("text", "a", {}, context="new ")])
    assert encoder.encoded_documents == before + 1


def test_explain_names_the_word_that_each_query_word_matched(capitals):
    hit = capitals.search("capital of France", k=1)[0]
    evidence = capitals.explain("capital of France", hit)
    assert [(match.query_token, match.text) for match in evidence.matches] == [
        ("capital", "capital"),
        ("of", "of"),
        ("france", "France"),
    ]
    assert all(hit.text[match.start : match.end] == match.text for match in evidence.matches)
    assert evidence.score == pytest.approx(hit.score, abs=0.03)
    assert capitals.explain("capital of France", "a") == evidence


def test_a_text_without_the_tokens_that_it_was_found_by_is_not_explained(tmp_path):
    with Collection(tmp_path, HashingEncoder()) as collection:
        collection.add(["sun"], ids=["a"])
        with closing(sqlite3.connect(tmp_path / "catalog.sqlite", isolation_level=None)) as sql:
            sql.execute("UPDATE texts SET text = ?, checksum = ?", ["   ", text_checksum("a", "", "   ")])
        [hit] = collection.search("sun")
        with pytest.raises(CorruptStoreError, match="passage without tokens"):
            collection.explain("sun", hit)


def test_explain_points_into_the_text_that_follows_its_context(collection):
    collection.add([Document("It rises at dawn.", "a", {}, context="sun \n")])
    matches = collection.explain("sun dawn", "a").matches
    assert [(match.text, match.start, match.end) for match in matches] == [("", 0, 0), ("dawn", 12, 16)]


def test_explain_of_a_query_without_tokens_has_no_matches(capitals):
    assert capitals.explain("", "a").matches == ()


def test_evidence_of_a_window_is_found_by_its_number_where_texts_are_equal():
    # Three windows of equal text; the words of the middle one follow other words of the whole.
    with Collection(None, HashingEncoder(document_length=2)) as collection:
        collection.add(["one two one two one two"], ids=["a"])
        windows = [Window("one two", start, start + 7, number) for number, start in enumerate((0, 8, 16))]
        [hit] = collection.search("two")
        assert hit.passage == windows[0]
        for window in windows:
            [match] = collection.explain("two", replace(hit, passage=window)).matches
            assert (match.start, match.end) == (window.start + 4, window.end)


def test_evidence_of_a_hit_scores_nothing_and_splits_nothing_again(capitals, encoder, monkeypatch):
    hit = capitals.search("capital of France", k=1)[0]
    monkeypatch.setattr(encoder, "split", lambda text: pytest.fail("split again"))
    assert capitals.explain("capital of France", hit).matches[2].text == "France"


def test_evidence_of_a_text_that_is_not_stored(capitals):
    [hit] = capitals.rerank("flour", ["Salt and flour."])
    [match] = capitals.explain("flour", hit).matches
    assert (match.text, match.start, match.end) == ("flour", 9, 14)


def test_a_path_without_a_collection_is_an_error_and_nothing_is_created(tmp_path, encoder):
    for wrong in (tmp_path / "typo", tmp_path):
        for opened in (Collection, Collection.open):
            with pytest.raises(StoreError, match="there is no collection at"):
                opened(wrong)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InvalidTypeError, match="path is None"):
        Collection.open(None)


def test_open_and_open_or_create_find_what_is_there(tmp_path, encoder):
    with Collection.open_or_create(tmp_path / "new", encoder) as collection:
        collection.add(TEXTS)
    with Collection.open(tmp_path / "new") as again, Collection.open_or_create(tmp_path / "new") as other:
        assert len(again) == len(other) == 3
        assert again.fingerprint == other.fingerprint == encoder.fingerprint


def test_open_or_create_takes_the_default_model_where_nothing_is_there(tmp_path, monkeypatch, encoder):
    monkeypatch.setattr("retrievers.collection.collection.LateInteractionEncoder", lambda: encoder)
    with Collection.open_or_create(tmp_path / "new") as collection:
        assert collection.encoder is encoder


def test_the_repr_names_place_size_and_model(capitals):
    assert "3 documents" in repr(capitals)
    assert "testing/hashing" in repr(capitals)
    capitals.close()
    assert "closed" in repr(capitals)


def test_a_device_finds_what_the_processor_finds(capitals, encoder):
    with Collection(None, encoder, device="cpu") as other:
        other.add(
            TEXTS, ids=["a", "b", "c"], metadatas=[{"topic": "city"}, {"topic": "city"}, {"topic": "food"}]
        )
        there, here = (
            c.search("the capital of France", k=2, filter={"topic": "city"}) for c in (other, capitals)
        )
    assert ids(there) == ids(here) == ["a", "b"]
    assert [hit.score for hit in there] == pytest.approx([hit.score for hit in here], abs=1e-3)


def test_a_collection_that_does_not_fit_on_its_device_says_so(encoder):
    with Collection(None, encoder, device="cpu", device_memory=100) as collection:
        collection.add(TEXTS)
        with pytest.raises(DeviceMemoryError, match=r"0\.1 kB may be used"):
            collection.search("capital")
