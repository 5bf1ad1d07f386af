"""Words of windows choose candidates beside the pooled vectors, where the collection was made with them."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest

from retrievers.collection import Collection
from retrievers.errors import InvalidInputError, NoWordsError
from retrievers.qdrant import QdrantCollection
from retrievers.qdrant.calls import default_candidates
from retrievers.qdrant.words import number, of_question, weighed, words
from retrievers.testing import CollectionConformance, HashingEncoder


class Alike(HashingEncoder):
    """Gives every text the same mean, so that the pooled vectors cannot tell windows apart."""

    def _matrix(self, text):
        matrix = super()._matrix(text)
        return np.concatenate([matrix, -matrix, self._vector("same")[None]]) if len(matrix) else matrix


@pytest.fixture(params=["memory", "server"])
def place(request):
    return request.getfixturevalue("server").url if request.param == "server" else ":memory:"


class TestWithWords(CollectionConformance):
    @pytest.fixture
    def collection(self):
        with QdrantCollection(":memory:", "papers", HashingEncoder(), words=True) as collection:
            yield collection


def test_a_window_that_only_its_words_bring_is_found(place):
    texts = [f"common word{number}" for number in range(40)]
    for made_with, found in ((True, "17"), (False, "0")):
        with QdrantCollection(place, f"words-{made_with}", Alike(), words=made_with) as collection:
            collection.add(texts, ids=[str(number) for number in range(40)])
            [hit] = collection.search("WORD17", k=1, candidates=2)
            assert (hit.id == found) is made_with
            [exact] = collection.search("WORD17", k=1, exact=True)
            assert exact.id == "17"
            collection.drop()


def test_no_document_is_missed_though_both_stages_choose_the_same(place):
    with QdrantCollection(place, "both", HashingEncoder(), words=True) as collection:
        texts = [f"question word{number}" for number in range(30)]
        collection.add(texts, metadatas=[{"even": number % 2 == 0} for number in range(30)])
        assert len(collection.search("question", k=30, candidates=4)) == 30
        assert len(collection.search("question", k=30, candidates=4, filter={"even": True})) == 15
        assert len(collection.search("unknown", k=30, candidates=4)) == 30
        assert len(collection.search_many(["question", "word3 !", "…"], k=5)[1]) == 5
        collection.add(["another text"], ids=["x"])
        [hit] = collection.search("another", k=1)
        assert hit.id == "x"
        collection.drop()


def test_a_collection_keeps_whether_it_has_words(place):
    with QdrantCollection(place, "plain", HashingEncoder()) as collection:
        if place != ":memory:":
            with pytest.raises(InvalidInputError, match="made with words=False"):
                QdrantCollection(place, "plain", HashingEncoder(), words=True)
            with QdrantCollection(place, "worded", HashingEncoder(), words=True) as worded:
                assert QdrantCollection(place, "worded")._calls.layout.words
                worded.drop()
        assert not collection._calls.layout.words
        collection.drop()


TEXTS = {
    "both": "pump leak",
    "rows": "pump pump valve",
    "word": "leak " + "x " * 200,
    "none": "bread",
}


def blends(collection):
    """What a search with words says of each document."""
    found = collection.search("pump leak", k=9, words=0.25)
    return {hit.id: (hit.score, hit.parts) for hit in found}


def test_words_are_blended_by_the_rule_of_a_directory(place, tmp_path):
    with (
        QdrantCollection(place, "blended", HashingEncoder(), words=True) as remote,
        Collection(tmp_path / "index", HashingEncoder(), words="unicode61") as local,
    ):
        for one in (remote, local):
            one.add(list(TEXTS.values()), ids=list(TEXTS))
        found, expected = blends(remote), blends(local)
        assert list(found) == list(expected) == ["both", "rows", "word", "none"]
        bm25 = np.array([parts.bm25 for _, parts in found.values()])
        maxsim = np.array([parts.maxsim for _, parts in found.values()])
        assert maxsim == pytest.approx([parts.maxsim for _, parts in expected.values()], abs=1e-3)
        assert bm25.argsort().tolist() == [3, 2, 1, 0]
        assert bm25[3] == 0
        scaled = [(part - part.min()) / (part.max() - part.min()) for part in (maxsim, bm25)]
        assert [score for score, _ in found.values()] == pytest.approx(0.75 * scaled[0] + 0.25 * scaled[1])
        hit = remote.search("pump leak", words=0.25)[0]
        evidence = remote.explain("pump leak", hit)
        assert evidence.score == pytest.approx(hit.parts.maxsim, abs=1e-3)
        assert evidence.as_json()["parts"] == asdict(hit.parts)
        remote.drop()


@pytest.mark.parametrize("words", [0, 0.25])
@pytest.mark.parametrize("bits", [8, 4])
def test_the_pooled_similarity_is_that_of_a_directory(place, tmp_path, words, bits):
    encoder = HashingEncoder(document_length=4)
    with (
        QdrantCollection(place, f"means-{bits}-{words:g}", encoder, words=True, bits=bits) as remote,
        Collection(tmp_path / "index", encoder, words="unicode61", bits=bits) as local,
    ):
        for one in (remote, local):
            one.add([*TEXTS.values(), "", "pump leak seal valve bread pump"], ids=[*TEXTS, "empty", "long"])
        options = {"k": 9, "words": words, "pooled": 0.5}
        for question in ("pump leak", "valve bread leak", HashingEncoder().encode_queries(["seal pump"])[0]):
            if words and not isinstance(question, str):
                continue
            found, expected = remote.search(question, **options), local.search(question, **options)
            by_id = {hit.id: hit for hit in expected}
            assert {hit.id for hit in found} == set(by_id) == {*TEXTS, "long"}
            assert found[0].score == max(hit.score for hit in found)
            for hit in found:
                assert hit.parts.pooled == pytest.approx(by_id[hit.id].parts.pooled, abs=1e-3)
                assert (hit.parts.bm25 is not None) is (words > 0)
                assert hit.passage.number == by_id[hit.id].passage.number
                if not words:  # BM25 differs: a server takes the average length of windows to be constant
                    assert hit.score == pytest.approx(by_id[hit.id].score, abs=5e-3)
        kept = remote.search("pump leak", k=9, pooled=0.5, score_threshold=0.4)
        assert [hit.id for hit in kept] == [
            hit.id for hit in remote.search("pump leak", k=9, pooled=0.5) if hit.normalized_score >= 0.4
        ]
        assert len(remote.search_many(["pump", "…"], k=2, pooled=1)[1]) == 0
        remote.drop()


def test_what_either_part_brings_is_compared_by_both(place, monkeypatch):
    monkeypatch.setattr("retrievers.search.fusion.DEPTH", 2)
    with QdrantCollection(place, "either", HashingEncoder(), words=True) as collection:
        collection.add(["pump leak", "pump leak", "leak " * 60, "bread"], ids=list("abcd"))
        [by_rows, _, by_words] = collection.search("pump leak seal", k=3, words=0.9)
        assert {by_rows.id, by_words.id} <= set("abc")
        found = {hit.id: hit for hit in collection.search("leak", k=2, words=0.9)}
        assert found["c"].parts.maxsim == pytest.approx(1, abs=0.01)
        assert all(hit.parts.bm25 > 0 for hit in found.values())
        collection.drop()


def test_a_blend_takes_every_option_of_a_search(place):
    with QdrantCollection(place, "blends", HashingEncoder(), words=True) as collection:
        metadatas = [{"even": number % 2 == 0} for number in range(8)]
        collection.add([f"question word{number}" for number in range(8)], metadatas=metadatas)
        one, two = collection.search_many(["question word3", "…"], words=0.5, filter={"even": False})
        assert one[0].text == "question word3"
        assert len(one) == 4
        assert two == []
        assert len(collection.search("question word3", words=0.5, group_by="even")) == 2
        assert len(collection.search("question word3", words=0.5, score_threshold=0.9)) == 1
        [hit] = collection.search("question word3", k=1, words=0.5, passages=1, exact=True)
        assert hit.passages[0].score == pytest.approx(hit.parts.maxsim, abs=1e-3)
        assert collection.search("unknown", words=1) == []
        assert [hit.text for hit in collection.search("word5", words=1)] == ["question word5"]
        assert collection.search("word5", ids=[], words=1) == []
        rows = HashingEncoder().encode_queries(["word5"])[0]
        assert collection.search(rows, k=1)[0].parts is None
        with pytest.raises(InvalidInputError, match="whose words nobody knows"):
            collection.search(rows, words=0.5)
        collection.drop()
    with (
        QdrantCollection(place, "wordless", HashingEncoder()) as collection,
        pytest.raises(NoWordsError, match="words=True"),
    ):
        collection.search("a", words=0.5)


@pytest.mark.parametrize(
    ("part", "share", "before"),
    [
        ("words", {"words": 0.5}, False),
        ("pooled", {"pooled": 0.5, "exact": True}, False),
        ("pooled", {"pooled": 0.5, "exact": True}, True),
    ],
)
def test_a_document_that_is_replaced_between_its_parts_is_compared_anew(place, part, share, before):
    with QdrantCollection(place, "replaced", HashingEncoder(), words=True) as collection:
        collection.add(["pump leak", "pump"], ids=["a", "b"])
        scored = collection._connection.__class__.__call__
        replaced = []

        def answer(connection, step):
            given = None if before else scored(connection, step)
            requests = getattr(step, "arguments", {}).get("requests", ())
            if any(one.using == part for one in requests) and not replaced:
                replaced.append(True)
                collection.add(["bread", "bread", "pump leak seal"], ids=["b", "c", "a"])
            return scored(connection, step) if before else given

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(collection._connection.__class__, "__call__", answer)
            found = collection.search("leak seal", k=1, **share)
        assert replaced
        assert found[0].text == "pump leak seal"
        assert (found[0].parts.bm25 if part == "words" else found[0].parts.pooled) > 0
        assert found[0].parts.maxsim == pytest.approx(2, abs=0.01)
        collection.drop()


def test_words_are_runs_of_letters_and_digits_without_case_and_accents():
    assert words("Ångström's Œuvre, ١٢ straße–x2 日本") == [
        "angstrom",
        "s",
        "œuvre",
        "١٢",
        "strasse",
        "x2",
        "日本",
    ]


def test_weights_are_those_of_bm25():
    text = "apple apple pear"
    found = dict(zip(*vars(weighed(text)).values(), strict=True))
    length = 1.2 * (0.25 + 0.75 * 3 / 100)
    assert found[number("apple")] == pytest.approx(2 * 2.2 / (2 + length), abs=1e-6)
    assert found[number("pear")] == pytest.approx(2.2 / (1 + length), abs=1e-6)
    assert of_question("Pear pear").indices == [number("pear")]
    assert of_question("Pear pear").values == [1.0]
    assert of_question("… !") is None


def test_candidates_grow_with_the_collection_up_to_a_million_windows():
    sizes = [0, 4_000, 20_000, 1_000_000, 100_000_000]
    assert [default_candidates(size) for size in sizes] == [200, 200, 424, 3000, 3000]
