"""The part of the conformance suite that is about token matrices which were computed elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retrievers.errors import InvalidInputError, InvalidTypeError, ModelMismatchError, ShapeError
from retrievers.kernels.rows import quantize, row_bytes
from retrievers.testing.encoder import HashingEncoder
from retrievers.testing.samples import BERLIN, PARIS
from retrievers.types import Document, EncodedText, QuantizedMatrix, SearchableCollection


class ComputedMatrices:
    """Tests of the fixtures `collection` and `filled` of CollectionConformance.

    Attributes:
        bits: of a number of the rows that the collection stores, 8 or 4.
    """

    bits = 8

    def test_matrices_take_the_place_of_encoding(self, collection: SearchableCollection) -> None:
        encoder: Any = collection.encoder
        long = " ".join(f"word{number}" for number in range(100))
        other = type(encoder)()
        spans = other.split(long)
        windows = EncodedText(spans, list(other.encode_documents(long[a:b] for a, b in spans)))
        [whole] = other.encode_documents([PARIS])
        given = [Document(PARIS, "a", {"n": 1}), Document(long, "long")]
        before = encoder.encoded_documents
        added = collection.add(given, matrices=[whole, windows], fingerprint=other.fingerprint)
        assert added == ["a", "long"]
        assert encoder.encoded_documents == before
        assert collection.get() == given
        [best] = collection.search("capital of France", k=1)
        assert (best.id, best.text) == ("a", PARIS)
        assert best.score == pytest.approx(3, abs=0.05)
        [best] = collection.search("word99", k=1)
        assert best.passage is not None
        assert (best.passage.number, best.passage.start) == (1, spans[1][0])

    def test_other_matrices_replace_the_stored_ones_and_equal_ones_do_not(
        self, collection: SearchableCollection
    ) -> None:
        [paris, berlin] = type(collection.encoder)().encode_documents([PARIS, BERLIN])
        collection.add([PARIS], ids=["a"], metadatas=[{"n": 1}], matrices=[paris])
        collection.add([PARIS], ids=["a"], metadatas=[{"n": 2}], matrices=iter([paris]))
        assert collection.get() == [Document(PARIS, "a", {"n": 2})]
        assert collection.search("France", score_threshold=0.9) != []
        collection.add([PARIS], ids=["a"], metadatas=[{"n": 2}], matrices=[berlin])
        assert collection.search("France", score_threshold=0.9) == []
        assert collection.search("Germany", score_threshold=0.9) != []

    def test_matrices_that_cannot_be_used_are_errors_and_change_nothing(
        self, filled: SearchableCollection
    ) -> None:
        encoder, before = filled.encoder, filled.get()
        [right] = encoder.encode_documents([PARIS])
        spoilt = right.copy()
        spoilt[1, 2] = np.nan
        size = len(PARIS)
        wrong: list[tuple[type[Exception], Any]] = [
            (ShapeError, right[:, :-1]),
            (ShapeError, right[0]),
            (InvalidInputError, 2 * right),
            (InvalidInputError, spoilt),
            (InvalidInputError, EncodedText([(0, size + 1)], [right])),
            (InvalidInputError, EncodedText([(0, 5), (5, size)], [right])),
            (InvalidTypeError, EncodedText([5], [right])),  # type: ignore[list-item]
            (InvalidTypeError, "matrix"),
            (InvalidInputError, self._quantized(1, 0.0)),
            (ShapeError, self._quantized(2, 1.0)),
            (InvalidInputError, QuantizedMatrix(*quantize(right, 12 - self.bits), 12 - self.bits)),
        ]
        if self.bits == 8:  # of 4 bits, every byte is possible
            spoilt_rows, scales = quantize(right)
            spoilt_rows[0, 0] = 0
            wrong.append((InvalidInputError, QuantizedMatrix(spoilt_rows, scales)))
        for error, one in wrong:
            with pytest.raises(error):
                filled.add(["new", PARIS], ids=["x", "y"], matrices=[right[:1], one])
        with pytest.raises(InvalidInputError):
            filled.add(["new", PARIS], ids=["x", "y"], matrices=[right[:1]])
        with pytest.raises(ModelMismatchError):
            filled.add(["new"], matrices=[right[:1]], fingerprint={**encoder.fingerprint, "seed": 7})
        with pytest.raises(InvalidInputError):
            filled.add(["new"], fingerprint=encoder.fingerprint)
        assert filled.get() == before

    def _quantized(self, count: int, scale: float) -> QuantizedMatrix:
        rows = np.ones((count, row_bytes(HashingEncoder().dim, self.bits)), np.uint8)
        return QuantizedMatrix(rows, np.full(1, scale, np.float32), self.bits)

    def test_a_question_may_be_a_matrix(self, filled: SearchableCollection) -> None:
        question = "capital of France"
        [matrix] = filled.encoder.encode_queries([question])
        expected = filled.search(question, k=2)
        found = filled.search(matrix, k=2)
        assert found == expected
        assert (found.query, found.matrix.shape) == ("", matrix.shape)
        assert filled.search(matrix.tolist(), k=2) == expected
        assert filled.search_many([matrix, "flour"], k=1) == [expected[:1], filled.search("flour", k=1)]
        assert filled.rerank(matrix, ids=["c", "a"]) == filled.rerank(question, ids=["c", "a"])
        assert filled.search(matrix[:0]) == []
        for wrong in (matrix[:, :-1], matrix[0]):
            with pytest.raises(ShapeError):
                filled.search(wrong)
        with pytest.raises(InvalidInputError):
            filled.search(matrix * np.float32(np.inf))

    def test_evidence_of_a_matrix_has_places_and_no_words_of_the_question(
        self, filled: SearchableCollection
    ) -> None:
        [matrix] = filled.encoder.encode_queries(["capital of France"])
        [hit] = filled.search(matrix, k=1)
        evidence = filled.explain(matrix, hit)
        assert evidence.query == ""
        assert [match.query_token for match in evidence.matches] == ["token 1", "token 2", "token 3"]
        assert [PARIS[match.start : match.end] for match in evidence.matches] == ["capital", "of", "France"]
        assert evidence.score == pytest.approx(hit.score, abs=0.05)

    # Streams

    def test_a_stream_gives_documents_and_rows_that_another_collection_takes(
        self, filled: SearchableCollection
    ) -> None:
        filled.add(["Rome is the capital of Italy."], ids=["a"])
        filled.add([" ".join(f"word{number}" for number in range(100)), ""], ids=["long", "empty"])
        assert filled.ids() == ["a", "b", "c", "long", "empty"]
        pairs = list(filled.stream())
        assert [document for document, _ in pairs] == filled.get()
        assert [len(encoded.spans) for _, encoded in pairs] == [1, 1, 1, 2, 0]
        assert [document.id for document, _ in filled.stream(["c", "nowhere", "a"])] == ["c", "a"]
        question = "capital Germany"
        before = filled.search(question)
        filled.clear()
        filled.add([document for document, _ in pairs], matrices=[encoded for _, encoded in pairs])
        again = filled.search(question)
        assert [hit.id for hit in again] == [hit.id for hit in before]
        assert [hit.score for hit in again] == pytest.approx([hit.score for hit in before], abs=1e-4)
        for (_, encoded), (_, copied) in zip(pairs, filled.stream(), strict=True):
            assert copied.spans == encoded.spans
            for one, other in zip(encoded.matrices, copied.matrices, strict=True):
                assert isinstance(one, QuantizedMatrix)
                assert isinstance(other, QuantizedMatrix)
                assert one.rows.tobytes() == other.rows.tobytes()
                assert one.scales.tobytes() == other.scales.tobytes()

    def test_an_export_has_every_document(self, filled: SearchableCollection, tmp_path: Path) -> None:
        parquet = pytest.importorskip(
            "pyarrow.parquet", reason='needs pip install "maxsim-retrievers[parquet]"'
        )
        assert filled.export(tmp_path / "papers.parquet") == 3
        table = parquet.read_table(tmp_path / "papers.parquet")
        assert table.column("id").to_pylist() == ["a", "b", "c"]
        assert table.column("text").to_pylist() == [document.text for document in filled.get()]
