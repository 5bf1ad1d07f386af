"""Words of windows choose candidates beside the pooled vectors, where the collection was made with them."""

from __future__ import annotations

import numpy as np
import pytest

from retrievers.errors import InvalidInputError
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
