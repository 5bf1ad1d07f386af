"""Search with words beside vectors: the blend, its parts, what it leaves as it was, and what it refuses."""

from dataclasses import asdict

import numpy as np
import pytest

from retrievers import Collection
from retrievers.collection.evidence import of_hits
from retrievers.errors import InvalidInputError, InvalidTypeError, NoWordsError
from retrievers.search import fusion
from retrievers.testing import HashingEncoder
from retrievers.types import Document, Parts

WORDS = ["sun", "moon", "star", "sky", "sea", "river", "stone", "tree", "hill", "rain", "fog", "snow"]


@pytest.fixture(scope="module")
def encoder():
    return HashingEncoder(document_length=5)


def filled(encoder, path=None, **options):
    rng = np.random.default_rng(0)
    collection = Collection(path, encoder, **options)
    texts = [" ".join(rng.choice(WORDS, rng.integers(1, 14))) for _ in range(150)]
    collection.add(
        texts,
        ids=[f"d{number}" for number in range(150)],
        metadatas=[{"n": number % 5, "even": number % 2 == 0} for number in range(150)],
        show_progress=False,
    )
    return collection


@pytest.fixture(scope="module")
def collection(encoder):
    with filled(encoder, words="unicode61") as collection:
        yield collection


def by_hand(collection, question, k, weight, keep=lambda document: True, depth=100):
    """The blend, computed from the scores of all documents."""
    plain = {hit.id: hit for hit in collection.search(question, k=1000, exact=True, filter=keep, words=0)}
    order = {document.id: place for place, document in enumerate(collection.get())}
    with collection.store.read() as view:
        positions, scores = view.word_scores(question)
        names = {key: document.id for key, document in view.fetch(view.documents).items()}
        bm25 = {}
        for key, score in zip(view.documents[positions].tolist(), scores.tolist(), strict=True):
            if names[key] in plain:
                bm25[names[key]] = max(bm25.get(names[key], 0), score)
    first = (
        sorted(plain, key=lambda key: (-plain[key].score, order[key]))[: max(k, depth)] if weight < 1 else []
    )
    second = sorted(bm25, key=lambda key: (-bm25[key], order[key]))[: max(k, depth)]
    union = list(dict.fromkeys([*first, *second]))
    parts = {key: (plain[key].score, bm25.get(key, 0.0)) for key in union}
    totals = dict.fromkeys(union, 0.0)
    for place, share in ((0, 1 - weight), (1, weight)) if union else ():
        values = [parts[key][place] for key in union]
        low, high = min(values), max(values)
        for key in union:
            scaled = (parts[key][place] - low) / (high - low) if high > low else float(parts[key][place] != 0)
            totals[key] += share * scaled
    best = sorted(union, key=lambda key: (-round(totals[key], 9), order[key]))[:k]
    return [(key, totals[key], *parts[key]) for key in best]


@pytest.mark.parametrize("weight", [0.1, 0.25, 0.9, 1])
@pytest.mark.parametrize("depth", [3, 100])
def test_the_blend_is_what_its_formula_says(collection, weight, depth, monkeypatch):
    monkeypatch.setattr(fusion, "DEPTH", depth)
    for question in ("fog and snow", "sun", "sea sea river", 'tree" OR (hill', "nothing that is there"):
        for keep in (None, lambda document: document.metadata["even"]):
            options = {} if keep is None else {"filter": keep}
            found = collection.search(question, k=7, words=weight, **options)
            expected = by_hand(collection, question, 7, weight, keep or (lambda document: True), depth)
            assert [hit.id for hit in found] == [key for key, *_ in expected]
            for hit, (_, total, maxsim, bm25) in zip(found, expected, strict=True):
                assert hit.score == pytest.approx(total, abs=1e-5)
                assert hit.parts.maxsim == pytest.approx(maxsim, abs=1e-5)
                assert hit.parts.bm25 == pytest.approx(bm25, abs=1e-5)
                assert hit.normalized_score == hit.parts.normalized_maxsim


def test_without_words_nothing_changes(encoder, collection):
    with filled(encoder) as plain:
        for question in ("fog and snow", "sun", ""):
            for options in ({}, {"words": 0}, {"words": None}, {"words": 0.0, "score_threshold": 0.5}):
                options = {"k": 20, **options}
                expected = plain.search(question, **options)
                assert collection.search(question, **options) == expected
                assert all(hit.parts is None and hit.passages == () for hit in expected)


def test_filters_and_ids_hold_before_scoring(collection):
    ids = [f"d{number}" for number in range(0, 150, 7)]
    found = collection.search("fog snow", k=5, words=0.5, ids=ids, filter={"even": True})
    assert len(found) == 5
    assert {hit.id for hit in found} <= set(ids)
    assert all(hit.metadata["even"] for hit in found)
    alone = collection.search("fog snow", k=100, words=0.5, ids=ids, filter={"even": True})
    assert max(hit.score for hit in alone) == alone[0].score
    assert min(hit.score for hit in alone) >= 0
    assert collection.search("fog", words=0.5, ids=[]) == []
    assert collection.search("fog", words=1, ids=["d1"]) == [
        hit for hit in collection.search("fog", words=1, k=150) if hit.id == "d1"
    ]


def test_a_threshold_is_about_maxsim_and_does_not_change_the_scale(collection):
    every = collection.search("fog snow rain", k=100, words=0.7)
    found = collection.search("fog snow rain", k=5, words=0.7, score_threshold=0.6)
    assert found == [hit for hit in every if hit.normalized_score >= 0.6][:5]
    assert len(found) == 5
    assert collection.search("fog snow rain", k=100, words=0.7, score_threshold=0.0) == every


class Loud(HashingEncoder):
    """Its questions' rows have the length 2."""

    def encode_queries(self, texts):
        return [2 * matrix for matrix in super().encode_queries(texts)]


def test_a_threshold_is_about_the_share_of_the_weights():
    with filled(Loud(document_length=5), words="unicode61") as collection:
        every = collection.search("fog snow rain", k=100, words=0.7)
        found = collection.search("fog snow rain", k=100, words=0.7, score_threshold=0.6)
        assert 0 < len(found) < len(every)
        assert found == [hit for hit in every if hit.normalized_score >= 0.6]


def test_many_questions_find_what_each_finds_alone(collection):
    questions = ["fog and snow", "", "sun", "?!", "nothing"]
    options = {"k": 6, "words": 0.3, "filter": {"n": {"$lt": 3}}}
    assert collection.search_many(questions, **options) == [
        collection.search(question, **options) for question in questions
    ]


def test_a_word_that_no_vector_finds_is_found_by_its_letters(encoder):
    """What the depth of one part leaves out, the other brings: neither hides a document."""
    with Collection(None, encoder, words="unicode61") as collection:
        collection.add([f"alpha beta {number}" for number in range(120)], show_progress=False)
        collection.add(["gamma delta epsilon zeta eta part AX-4711"], ids=["part"], show_progress=False)
        found = collection.search("alpha beta AX 4711", k=121, words=0.9)
        assert found[0].id == "part"
        assert found[0].parts.bm25 > 1
        assert [hit.id for hit in collection.search("4711", words=1)] == ["part"]
        collection.delete(["part"])
        assert collection.search("4711", words=1) == []


def test_evidence_says_what_a_blended_score_was_made_of(encoder):
    with Collection(None, encoder, words="unicode61") as collection:
        collection.add(["suns shine", "moons shine"], ids=["a", "b"])
        hits = collection.search("suns shine", words=0.5)
        evidence = collection.explain("suns shine", hits[1])
        assert evidence.parts == hits[1].parts
        assert evidence.score == pytest.approx(hits[1].parts.maxsim, abs=0.02)
        told = of_hits(collection, hits)
        assert [one["parts"] for one in told] == [asdict(hit.parts) for hit in hits]
        assert collection.explain("suns shine", "b").parts is None
        collection.delete(["b"])
        [_, gone] = of_hits(collection, hits)
        assert (gone["approximate"], gone["parts"]) == (True, told[1]["parts"])
        assert gone["score"] == hits[1].parts.maxsim


def test_a_collection_keeps_its_share_of_words(encoder, tmp_path):
    path = tmp_path / "kept"
    with Collection(path, encoder, words="porter", words_weight=0.4) as collection:
        collection.add(["suns shine", "moons shine"], ids=["a", "b"], show_progress=False)
        assert collection.words_weight == 0.4
        expected = collection.search("sun shine", words=0.4)
        assert expected[0].parts == Parts(
            expected[0].parts.maxsim, expected[0].normalized_score, expected[0].parts.bm25
        )
        assert collection.search("sun shine") == expected
        assert collection.search("sun shine", words=0)[0].parts is None
    with Collection.open(path, encoder) as again:
        assert again.search("sun shine") == expected
        again.index_words(words_weight=0)
        assert again.search("sun shine")[0].parts is None
        assert (again.info().words, again.info().words_weight) == ("porter", 0)


def test_a_collection_of_before_gains_words_when_asked(encoder, tmp_path):
    path = tmp_path / "before"
    with filled(encoder, path) as collection:
        before = collection.search("fog snow", k=9)
        with pytest.raises(NoWordsError, match="index_words"):
            collection.search("fog snow", words=0.25)
        collection.index_words("porter")
        assert collection.search("fog snow", k=9) == before
        assert collection.search("fog snow", k=9, words=0.25)[0].parts is not None
        assert collection.verify() == []


def test_optimised_collections_and_context_have_words(encoder, tmp_path):
    with filled(encoder, tmp_path / "optimised", words="unicode61") as collection:
        exact = collection.search("fog snow", k=5, words=0.3)
        collection.optimize(show_progress=False)
        collection.add([Document("It rises at dawn.", "dawn", {}, context="aurora\n")], show_progress=False)
        assert collection.search("aurora", words=1)[0].id == "dawn"
        collection.delete(["dawn"])
        assert collection.search("fog snow", k=5, words=0.3, candidates=200) == exact


def test_what_cannot_be_used_is_refused(encoder, collection, tmp_path):
    for words in (-0.1, 1.1, float("inf")):
        with pytest.raises(InvalidInputError, match="words"):
            collection.search("x", words=words)
    for words in ("0.5", True, float("nan"), [0.5]):
        with pytest.raises(InvalidTypeError):
            collection.search("x", words=words)
    for options in ({"words": "snowball"}, {"words_weight": 0.5}, {"words": "porter", "words_weight": 2}):
        with pytest.raises(InvalidInputError, match="words"):
            Collection(tmp_path / "never", encoder, **options)
    assert not (tmp_path / "never").exists()
    rows = collection.encoder.encode_queries(["fog snow"])[0]
    with pytest.raises(InvalidInputError, match="matrix"):
        collection.search(rows, words=0.5)
    assert [hit.id for hit in collection.search(rows)] == [hit.id for hit in collection.search("fog snow")]
    for options in ({"passages": 0}, {"group_by": ""}, {"group_by": "n", "group_size": 0}):
        with pytest.raises(InvalidInputError):
            collection.search("x", **options)


# Passages and groups


def test_passages_are_the_best_windows_of_each_hit(collection):
    for options in ({}, {"words": 0.4}):
        for hit in collection.search("fog snow", k=4, passages=3, **options):
            scores = [passage.score for passage in hit.passages]
            assert scores == sorted(scores, reverse=True)
            assert hit.passages[0].window == hit.passage
            assert hit.passages[0].score == pytest.approx(
                hit.parts.maxsim if hit.parts else hit.score, abs=1e-5
            )
            windows = collection.encoder.split(hit.text)
            assert len(hit.passages) == min(3, len(windows))
            assert len({passage.window.number for passage in hit.passages}) == len(hit.passages)
            for passage in hit.passages:
                assert hit.text[passage.window.start : passage.window.end] == passage.window.text
    found = collection.search("fog snow", k=9, passages=9, score_threshold=0.5)
    assert found
    assert all(passage.normalized_score >= 0.5 for hit in found for passage in hit.passages)


def test_no_group_has_more_hits_than_it_may(collection):
    every = collection.search("fog snow", k=150)
    for options in ({}, {"words": 0.3}, {"filter": {"even": True}}, {"score_threshold": 0.3}):
        every = collection.search("fog snow", k=150, **options)
        for size in (1, 2):
            expected, counts = [], {}
            for hit in every:
                counts[hit.metadata["n"]] = counts.get(hit.metadata["n"], 0) + 1
                if counts[hit.metadata["n"]] <= size:
                    expected.append(hit)
            found = collection.search("fog snow", k=8, group_by="n", group_size=size, **options)
            assert [hit.id for hit in found] == [hit.id for hit in expected[:8]]


def test_groups_are_filled_from_as_deep_as_it_takes(encoder):
    with Collection(None, encoder) as collection:
        many = [Document("sun moon", f"m{number}", source="book") for number in range(100)]
        few = [Document(f"sun {word}", word, source=word) for word in ("sea", "sky")]
        loose = [Document("sun fog", "loose"), Document("sun hill", "hill", {"source": "book"})]
        collection.add([*many, *few, *loose], show_progress=False)
        found = collection.search("sun moon", k=5, group_by="source", group_size=1)
        assert found[0].id == "m0"
        assert sorted(hit.id for hit in found[1:]) == ["loose", "sea", "sky"]
        two = collection.search("sun moon", k=6, group_by="source", group_size=2)
        assert sorted(hit.id for hit in two) == ["loose", "m0", "m1", "sea", "sky"]


def test_diversity_chooses_among_documents_whose_windows_are_near_duplicates(encoder):
    from retrievers.search.diversity import search_diverse

    with Collection(None, encoder, words="unicode61") as collection:
        copies = [f"sun moon star sky sea copy{number}" for number in range(6)]
        collection.add([*copies, "sun moon hill river stone", "sun tree fog"], show_progress=False)
        for options in ({}, {"words": 0.25}):
            found = search_diverse(collection, "sun moon star", k=3, lambda_mult=0.3, **options)
            assert sum("copy" in hit.text for hit in found) == 1
            alike = collection.search("sun moon star", k=3, **options)
            assert sum("copy" in hit.text for hit in alike) == 3
