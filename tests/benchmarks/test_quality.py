"""The benchmark of quality on a few made rows: scores are those of the formulas, and the table has every system."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ir_measures", reason='needs pip install "maxsim-retrievers[eval]"')

from benchmarks.quality import systems
from benchmarks.quality.encodings import Encoded
from benchmarks.quality.scoring import pooled, question_weights, scored
from retrievers import Collection, Document
from retrievers.evaluate import Benchmark, Setting
from retrievers.evaluate.settings import with_mean
from retrievers.testing import HashingEncoder
from retrievers.types import EncodedText

TEXTS = {
    "a": "the sun and the moon",
    "b": "a river to the sea",
    "c": "stones and hills",
    "d": "rain falls on the sea",
}
ASKED = {"1": "sun over the moon", "2": "where is the sea"}
BOTH_PARTS = (0.25, ("length", "idf"))
BOTH = Setting(*BOTH_PARTS)


def made(texts: list[str], rng: np.random.Generator, vocabulary: dict[str, int]) -> Encoded:
    """A row of random numbers a word, but equal words are near each other."""
    words = [[vocabulary.setdefault(word, len(vocabulary)) for word in text.split()] for text in texts]
    tokens = np.array([one for some in words for one in some], np.int32)
    base = np.random.default_rng(0).standard_normal((99, 16))
    rows = base[tokens] + 0.1 * rng.standard_normal((len(tokens), 16))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    ends = np.cumsum([len(some) for some in words])
    singles = np.stack(
        [rows[end - len(some) : end].mean(axis=0) for some, end in zip(words, ends, strict=True)]
    )
    singles /= np.linalg.norm(singles, axis=1, keepdims=True)
    lengths = rng.uniform(1, 3, len(tokens)).astype(np.float32)
    return Encoded(rows.astype(np.float16), tokens, lengths, ends, singles.astype(np.float32))


@pytest.fixture
def encoded() -> tuple[Encoded, Encoded, np.ndarray]:
    """Two questions, and five windows, of which the second document has two."""
    rng, vocabulary = np.random.default_rng(1), dict[str, int]()
    windows = [TEXTS["a"], "a river", "to the sea", TEXTS["c"], TEXTS["d"]]
    questions = made(list(ASKED.values()), rng, vocabulary)
    return questions, made(windows, rng, vocabulary), np.array([0, 1, 1, 2, 3])


def test_scores_are_those_of_the_formulas(encoded: tuple, tmp_path: Path) -> None:
    questions, windows, owners = encoded
    found = scored(questions, windows, owners, 0.25, tmp_path)[("length", "idf")]

    def mixed(rows: np.ndarray) -> np.ndarray:
        rows = rows.astype(np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        whole = rows + 0.25 * rows.mean(axis=0) / np.linalg.norm(rows.mean(axis=0))
        return whole / np.linalg.norm(whole, axis=1, keepdims=True)

    def part(encoded: Encoded, place: int) -> slice:
        return slice(encoded.starts[place], encoded.ends[place])

    for question in range(2):
        rows = part(questions, question)
        held = [
            {int(one) for w in range(5) if owners[w] == d for one in windows.tokens[part(windows, w)]}
            for d in range(4)
        ]
        counts = [sum(int(token) in some for some in held) for token in questions.tokens[rows]]
        weights = np.array([math.sqrt(math.log1p((4 - n + 0.5) / (n + 0.5))) for n in counts])
        weights = weights * questions.lengths[rows]
        weights /= weights.mean()
        for document in range(4):
            best = max(
                float(
                    weights
                    @ (mixed(questions.rows[rows]) @ mixed(windows.rows[part(windows, one)]).T).max(axis=1)
                )
                for one in np.flatnonzero(owners == document)
            )
            assert found[question, document] == pytest.approx(best, abs=0.03)  # rows have 8 bits
    again = scored(questions, windows, owners, 0.25, tmp_path)  # from what was kept
    assert (again[("length", "idf")] == found).all()


def test_the_pooled_similarity_is_that_of_a_search(encoded: tuple, tmp_path: Path) -> None:
    questions, windows, owners = encoded
    found = pooled(questions, windows, owners, 0.25, ("length", "idf"), tmp_path)
    assert found.shape == (2, 4)
    weights = question_weights(questions, windows, owners)["length-idf"]
    with Collection(None, HashingEncoder(dim=16)) as collection:
        given = [
            with_mean(windows.rows[start:end].astype(np.float32), 0.25)
            for start, end in zip(windows.starts, windows.ends, strict=True)
        ]
        texts = [
            EncodedText(
                [(0, 1)] * int((owners == one).sum()),
                [given[place] for place in np.flatnonzero(owners == one)],
            )
            for one in range(4)
        ]
        collection.add(list(TEXTS.values()), ids=list("0123"), matrices=texts, show_progress=False)
        for place in range(2):
            row = slice(questions.starts[place], questions.ends[place])
            rows = with_mean(questions.rows[row].astype(np.float32), 0.25) * weights[row, None]
            hits = collection.search(rows, k=4, pooled=0.5)
            for hit in hits:
                assert found[place, int(hit.id)] == pytest.approx(hit.parts.pooled, abs=1e-5)
            maxsim = scored(questions, windows, owners, 0.25, tmp_path)[("length", "idf")]
            whole = systems.Scored(None, [], owners, {}, maxsim, maxsim, "en", found)  # type: ignore[arg-type]
            total = whole.blend_pooled(maxsim, 0.5)[place]
            assert [hit.score for hit in hits] == pytest.approx(sorted(total, reverse=True), abs=3e-3)
    again = pooled(questions, windows, owners, 0.25, ("length", "idf"), tmp_path)  # from what was kept
    assert (again == found).all()


def test_every_system_has_its_row(encoded: tuple, tmp_path: Path) -> None:
    pytest.importorskip("rank_bm25", reason="needs rank_bm25")
    pytest.importorskip("llama_index.retrievers.bm25", reason="needs llama-index-retrievers-bm25")
    questions, windows, owners = encoded
    documents = tuple(Document(text, id=name) for name, text in TEXTS.items())
    benchmark = Benchmark(documents, ASKED, {"1": {"a": 1}, "2": {"b": 1, "d": 1}})
    maxsim = {
        Setting(mean, weights): scores
        for mean in (0.0, 0.25)
        for weights, scores in scored(questions, windows, owners, mean, tmp_path).items()
    }
    firsts = np.unique(owners, return_index=True)[1]
    single = np.maximum.reduceat(questions.singles @ windows.singles.T, firsts, axis=1)
    spans = [[(0, len(text))] for text in TEXTS.values()]
    spans[1] = [(0, 7), (8, 18)]
    texts = [TEXTS["a"], "a river", "to the sea", TEXTS["c"], TEXTS["d"]]
    words = systems._by_words(benchmark, spans, tmp_path, "en")
    assert (words[1] > 0).tolist() == [True, True, False, True]  # "the" and "sea"
    alike = pooled(questions, windows, owners, *BOTH_PARTS, tmp_path)
    whole = systems.Scored(benchmark, texts, owners, maxsim, single, words, "en", alike)
    rows = dict(systems.measured(whole, BOTH))
    assert next(iter(rows)) == "plain"
    assert f"{BOTH} (default)" in rows
    assert {
        "default, words=0.1",
        "default, pooled=0.25",
        "single vector",
        "BM25",
        "default and BM25, reciprocal rank fusion",
    } <= rows.keys()
    assert sum("LlamaIndex" in name or "LangChain" in name for name in rows) == 3
    assert all(values.shape == (2,) and ((values >= 0) & (values <= 1)).all() for values in rows.values())
    assert rows["plain"].mean() == pytest.approx(1.0)
