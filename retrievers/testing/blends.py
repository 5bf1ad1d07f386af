"""Conformance of searches whose score has other parts beside MaxSim: words, and the pooled similarity."""

from __future__ import annotations

import numpy as np
import pytest

from retrievers.errors import InvalidInputError, NoWordsError, UnsupportedError
from retrievers.testing.samples import names
from retrievers.types import SearchableCollection


class Blends:
    """What words and the pooled similarity add, whatever keeps the documents. See CollectionConformance."""

    def test_words_are_blended_or_refused_by_name(self, filled: SearchableCollection) -> None:
        try:
            found = filled.search("capital of Germany", k=2, words=0.5)
        except (NoWordsError, UnsupportedError):
            return
        assert names(found) == ["b", "a"]
        assert found[0].parts is not None
        assert (found[0].parts.bm25 or 0) > 0
        assert found[0].normalized_score == found[0].parts.normalized_maxsim == pytest.approx(1, abs=0.02)
        assert names(filled.search("flour", words=1)) == ["c"]

    def test_the_pooled_similarity_is_blended_or_refused_by_name(self, filled: SearchableCollection) -> None:
        try:
            found = filled.search("Bread needs flour", k=3, pooled=1)
        except UnsupportedError:
            return
        assert names(found)[0] == "c"
        assert [hit.score for hit in found][::2] == pytest.approx([1, 0], abs=1e-6)
        for hit in found:
            assert hit.parts is not None
            assert hit.parts.bm25 is None
            assert hit.parts.normalized_maxsim == hit.normalized_score
            [rows] = filled.encoder.encode_queries(["Bread needs flour"])
            [stored] = filled.matrices([hit])
            means = rows.mean(axis=0), stored.mean(axis=0)
            cosine = means[0] @ means[1] / np.linalg.norm(means[0]) / np.linalg.norm(means[1])
            assert hit.parts.pooled == pytest.approx(cosine, abs=2e-3)
        assert names(filled.search("capital of Germany", k=2, pooled=0.25)) == ["b", "a"]
        with pytest.raises(InvalidInputError, match="pooled"):
            filled.search("flour", words=0.8, pooled=0.3)
