"""A collection against a dict: any order of changes, reopenings and searches, on disk and in memory."""

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from retrievers import Collection
from retrievers.filters import parse
from retrievers.kernels.rows import dequantize, quantize
from retrievers.testing import HashingEncoder

ENCODER = HashingEncoder(dim=16, document_length=4)
WORDS = ["sun", "moon", "star", "sky", "sea", "river", "stone", "tree"]

ids = st.sampled_from([f"d{n}" for n in range(12)])
texts = st.lists(st.sampled_from(WORDS), max_size=11).map(" ".join)
metadata = st.fixed_dictionaries(
    {},
    optional={
        "lang": st.sampled_from(["en", "de"]),
        "n": st.integers(0, 3),
        "tags": st.lists(st.integers(0, 2)),
    },
)
filters = st.sampled_from(
    [
        None,
        {"lang": "en"},
        {"lang": {"$ne": "en"}},
        {"n": {"$gte": 2}},
        {"tags": {"$contains": 1}},
        {"$or": [{"lang": "de"}, {"n": {"$in": [0, 1]}}]},
        {"$not": {"lang": "de"}},
    ]
)


def stored(matrix, bits):
    """A matrix as the store gives it back, in float32."""
    return dequantize(*quantize(matrix, bits), ENCODER.dim, bits)


def maxsim(query, text, bits):
    """Best window of a text by float32 MaxSim on the rows as they are stored; None without tokens."""
    [question] = ENCODER.encode_queries([query])
    windows = [text[a:b] for a, b in ENCODER.split(text)]
    parts = [stored(part, bits) for part in ENCODER.encode_documents(windows)]
    return max((float((question @ part.T).max(axis=1).sum()) for part in parts), default=None)


class CollectionMachine(RuleBasedStateMachine):
    """Rules change collection and dict alike; invariants compare them."""

    @initialize(on_disk=st.booleans(), indexed=st.sampled_from([(), ("lang",)]), bits=st.sampled_from([8, 4]))
    def open(self, on_disk, indexed, bits):
        self.directory = Path(tempfile.mkdtemp()) if on_disk else None
        self.indexed, self.bits = indexed, bits
        self.model = {}
        self.collection = Collection(self.directory, ENCODER, indexed=indexed, bits=bits)

    def teardown(self):
        if hasattr(self, "collection"):
            self.collection.close()
            if self.directory is not None:
                shutil.rmtree(self.directory)

    @rule(documents=st.dictionaries(ids, st.tuples(texts, metadata), min_size=1, max_size=5))
    def add(self, documents):
        """New documents, and others in the place of those that are there."""
        before, windows = ENCODER.encoded_documents, 0
        for key, (text, _) in documents.items():
            if key not in self.model or self.model[key][0] != text:
                windows += len(ENCODER.split(text))
        self.collection.add(
            [text for text, _ in documents.values()],
            ids=list(documents),
            metadatas=[data for _, data in documents.values()],
            show_progress=False,
        )
        assert ENCODER.encoded_documents - before == windows
        self.model.update(documents)

    @rule(keys=st.lists(ids, max_size=4))
    def delete(self, keys):
        known = [key for key in dict.fromkeys(keys) if key in self.model]
        assert self.collection.delete(keys) == len(known)
        for key in known:
            del self.model[key]

    @rule(filter=filters.filter(bool))
    def delete_by_filter(self, filter):
        kept = self.matching(filter)
        assert self.collection.delete(filter=filter) == len(kept)
        for key in kept:
            del self.model[key]

    @precondition(lambda self: self.directory is not None)
    @rule()
    def reopen(self):
        self.collection.close()
        self.collection = Collection(self.directory, ENCODER)

    @precondition(lambda self: self.directory is not None)
    @rule(key=ids, text=texts)
    def another_process_adds(self, key, text):
        other = Collection(self.directory, ENCODER)
        other.add([text], ids=[key], metadatas=[{"lang": "en"}], show_progress=False)
        other.close()
        self.model[key] = (text, {"lang": "en"})

    @rule()
    def compact(self):
        self.collection.compact()
        assert self.collection.info().dead_share == 0

    @rule()
    def optimize(self):
        self.collection.optimize(show_progress=False)

    @rule(
        query=st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map(" ".join),
        filter=filters,
        exact=st.booleans(),
    )
    def search(self, query, filter, exact):
        wanted = {key: maxsim(query, self.model[key][0], self.bits) for key in self.matching(filter)}
        wanted = {key: score for key, score in wanted.items() if score is not None}
        hits = self.collection.search(query, k=4, filter=filter, exact=exact)
        assert len(hits) == min(4, len(wanted))
        best = sorted(wanted.values(), reverse=True)
        for hit, score in zip(hits, best, strict=False):
            assert hit.score == pytest.approx(score, abs=0.02)
            assert hit.score == pytest.approx(wanted[hit.id], abs=0.02)
            assert (hit.text, hit.metadata) == self.model[hit.id]
            assert hit.text[hit.passage.start : hit.passage.end] == hit.passage.text

    @rule(filter=filters)
    def get_by_filter(self, filter):
        found = self.collection.get(filter=filter or {})
        assert [document.id for document in found] == self.matching(filter)

    @invariant()
    def documents_are_those_of_the_dict_in_their_order(self):
        if not hasattr(self, "collection"):
            return
        found = self.collection.get()
        assert [(one.id, (one.text, dict(one.metadata))) for one in found] == list(self.model.items())
        assert len(self.collection) == len(self.model)

    @invariant()
    def counts_are_right_and_nothing_is_damaged(self):
        if not hasattr(self, "collection"):
            return
        info = self.collection.info()
        assert info.tokens == sum(len(text.split()) for text, _ in self.model.values())
        assert info.windows == sum(-(-len(text.split()) // 4) for text, _ in self.model.values())
        assert self.collection.verify() == []

    def matching(self, filter):
        parsed = parse(filter)
        return [key for key, (_, data) in self.model.items() if parsed is None or parsed.matches(data)]


TestCollection = CollectionMachine.TestCase
TestCollection.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_the_stored_rows_are_within_half_a_step_of_the_encoder():
    [matrix] = ENCODER.encode_documents(["sun moon"])
    _, scales = quantize(matrix)
    assert np.abs(stored(matrix, 8) - matrix).max() <= scales.max() / 2 + 1e-7
