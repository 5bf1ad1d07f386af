"""Collections whose rows have 4 bits a number: they answer as those of 8 do, from half the bytes."""

import os
import shutil
import signal

import numpy as np
import pytest

from retrievers import Collection
from retrievers.collection import transfer
from retrievers.errors import InvalidInputError, InvalidTypeError, ModelMismatchError, StoreError
from retrievers.kernels.rows import dequantize, quantize
from retrievers.testing import HashingEncoder
from retrievers.types import QuantizedMatrix

WORDS = ["sun", "moon", "star", "sky", "sea", "river", "stone", "tree"]
WORDS += ["hill", "rain", "bread", "flour", "water", "salt", "dough", "night"]
QUESTIONS = ("sun and moon", "bread of flour and water", "night rain")


def texts(count=200):
    rng = np.random.default_rng(7)
    return [" ".join(rng.choice(WORDS, rng.integers(3, 30))) for _ in range(count)]


def encoder():
    return HashingEncoder(dim=64, document_length=8)


@pytest.fixture(params=["disk", "memory"])
def collection(request, tmp_path):
    path = tmp_path / "index" if request.param == "disk" else None
    with Collection(path, encoder(), bits=4) as made:
        made.add(texts(), ids=[f"d{n}" for n in range(200)], show_progress=False)
        yield made


def rows_of(collection):
    with collection.store.read() as view:
        return view.rows.tolist(), view.scales.tolist()


def test_a_collection_keeps_the_bits_that_it_was_made_with(tmp_path):
    for bits, expected in ((None, 8), (8, 8), (4, 4)):
        with Collection(tmp_path / str(bits), encoder(), bits=bits) as made:
            assert made.bits == expected
        with Collection.open(tmp_path / str(bits)) as again:
            assert (again.bits, again.info().bits) == (expected, expected)
        with Collection.open_or_create(tmp_path / str(bits), bits=expected) as again:
            assert again.bits == expected
    with pytest.raises(InvalidInputError, match=r"rows of 4 bits .* 8 are asked for.*collection\.convert"):
        Collection(tmp_path / "4", encoder(), bits=8)


@pytest.mark.parametrize("bits", [2, 0, 16, -4, True, 4.5, "4"])
def test_other_numbers_of_bits_are_refused_and_nothing_is_made(tmp_path, bits):
    with pytest.raises((InvalidInputError, InvalidTypeError), match="bits"):
        Collection(tmp_path / "index", encoder(), bits=bits)
    assert not (tmp_path / "index").exists()


def test_it_says_how_many_bits_and_takes_half_the_bytes(tmp_path, collection):
    with Collection(None, encoder()) as other:
        other.add(texts(), show_progress=False)
        assert "4 bits a number" in collection.info()._repr_html_()
        assert "8 bits a number" in other.info()._repr_html_()
        with collection.store.read() as small, other.store.read() as large:
            assert small.rows.nbytes * 2 == large.rows.nbytes


def test_hits_are_those_of_the_rows_as_they_are_stored(collection):
    for question in QUESTIONS:
        [matrix] = collection.encoder.encode_queries([question])
        expected = {}
        with collection.store.read() as view:
            names = view.ids()
            keys = {key: name for name, key in view.keys_of(names).items()}
            for start, end, key in zip(view.starts, view.ends, view.documents, strict=True):
                rows = dequantize(view.rows[start:end], view.scales[start:end], 64, 4)
                score = float((matrix @ rows.T).max(axis=1).sum())
                expected[keys[key]] = max(score, expected.get(keys[key], -np.inf))
        for hits in (collection.search(question, k=10), collection.search(matrix, k=10, exact=True)):
            assert [hit.score for hit in hits] == pytest.approx(sorted(expected.values())[:-11:-1], rel=1e-5)
            assert [expected[hit.id] for hit in hits] == pytest.approx([hit.score for hit in hits], rel=1e-5)


def test_an_optimised_collection_finds_the_same(collection):
    before = [collection.search(question, k=10) for question in QUESTIONS]
    collection.optimize(show_progress=False)
    assert [collection.search(question, k=10, candidates=1000) for question in QUESTIONS] == before
    collection.add(["sun and moon and star"], ids=["new"], show_progress=False)
    assert collection.search(QUESTIONS[0], k=1, candidates=200)[0].id == "new"
    assert collection.verify() == []


def test_the_score_of_the_evidence_is_that_of_the_hit(collection):
    hits = collection.search(QUESTIONS[1], k=5)
    for hit in hits:
        assert collection.explain(QUESTIONS[1], hit).score == pytest.approx(hit.score, rel=1e-5)
    again = collection.rerank(QUESTIONS[1], ids=[hit.id for hit in hits])
    assert [(hit.id, hit.score) for hit in again] == [(hit.id, hit.score) for hit in hits]
    loose = collection.rerank(QUESTIONS[1], [hit.text + " " for hit in hits])  # not stored, so it is encoded
    assert [hit.score for hit in loose] == pytest.approx([hit.score for hit in hits], rel=1e-5)
    for hit in loose:
        assert collection.explain(QUESTIONS[1], hit).score == pytest.approx(hit.score, rel=1e-5)


def test_matrices_of_floats_are_rounded_and_equal_ones_are_not_stored_again(collection):
    [matrix] = collection.encoder.encode_documents(["sun moon"])
    collection.add(["sun moon"], ids=["x"], matrices=[matrix])
    [found] = collection.matrices(collection.search("sun moon", k=1, ids=["x"]))
    assert found == pytest.approx(dequantize(*quantize(matrix, 4), 64, 4), abs=1e-6)
    before = collection.info().tokens, rows_of(collection)
    collection.add(["sun moon"], ids=["x"], matrices=[matrix])
    collection.add(["sun moon"], ids=["x"], matrices=[QuantizedMatrix(*quantize(matrix, 4), 4)])
    assert (collection.info().tokens, rows_of(collection)) == before
    with pytest.raises(InvalidInputError, match=r"8 bits a number, and this collection has 4"):
        collection.add(["sun moon"], ids=["x"], matrices=[QuantizedMatrix(*quantize(matrix))])


def test_token_pooling_pools_before_the_rows_are_rounded(tmp_path):
    """The model's rows are what is rounded, whatever it did to them."""

    class Pooling(HashingEncoder):
        def encode_documents(self, given):
            for matrix in super().encode_documents(given):
                halves = (matrix[0:-1:2] + matrix[1::2]) / 2 if len(matrix) > 1 else matrix
                yield halves / np.linalg.norm(halves, axis=1, keepdims=True)

    model = Pooling(dim=64, document_length=8)
    with Collection(None, model, bits=4) as made:
        made.add(["sun moon star sky"], show_progress=False)
        [matrix] = model.encode_documents(["sun moon star sky"])
        assert rows_of(made)[0] == quantize(matrix, 4)[0].tolist()


def test_an_export_comes_back_byte_for_byte(collection, tmp_path):
    pytest.importorskip("pyarrow", reason='needs pip install "maxsim-retrievers[parquet]"')
    collection.export(tmp_path / "file.parquet", show_progress=False)
    with Collection.from_export(tmp_path / "file.parquet", tmp_path / "back", encoder()) as back:
        assert back.bits == 4
        assert rows_of(back) == rows_of(collection)
    with Collection.from_export(tmp_path / "file.parquet", tmp_path / "back", encoder(), bits=4) as back:
        assert len(back) == 200
    with pytest.raises(InvalidInputError, match=r"convert\(path, bits=8\)"):
        Collection.from_export(tmp_path / "file.parquet", tmp_path / "other", encoder(), bits=8)
    assert not (tmp_path / "other").exists()


def test_nothing_is_copied_into_a_collection_of_other_bits(collection):
    with Collection(None, encoder()) as other:
        with pytest.raises(InvalidInputError, match="rows of 4 bits a number cannot be copied as they are"):
            transfer.copy(collection, other, doing="Copying", show_progress=False)
        assert len(other) == 0


def test_a_backup_has_the_same_rows(collection, tmp_path):
    collection.backup(tmp_path / "copy")
    with Collection(tmp_path / "copy", encoder()) as copy:
        assert (copy.bits, rows_of(copy)) == (4, rows_of(collection))
        assert copy.verify() == []


def test_converted_rows_are_found_as_rows_of_the_model_are(tmp_path):
    with Collection(tmp_path / "eight", encoder()) as large:
        large.add(texts(), ids=[f"d{n}" for n in range(200)], show_progress=False)
        model = large.encoder.encoded_documents
        large.convert(tmp_path / "four", bits=4, show_progress=False)
        assert large.encoder.encoded_documents == model
        with Collection(tmp_path / "four", encoder()) as small:
            assert (small.bits, small.get()) == (4, large.get())
            assert small.verify() == []
            for question in QUESTIONS:
                assert small.search(question, k=1)[0].score == pytest.approx(
                    large.search(question, k=1)[0].score, rel=0.05
                )
            small.add(["more"], ids=["more"], show_progress=False)
            small.convert(tmp_path / "back", bits=8, show_progress=False)
    with Collection.open(tmp_path / "back") as back:
        assert (back.bits, len(back), back.verify()) == (8, 201, [])
    with pytest.raises(ModelMismatchError):
        Collection(tmp_path / "four", HashingEncoder(dim=64, document_length=8, seed=5))


def test_a_collection_in_memory_is_converted_into_a_directory(collection, tmp_path):
    collection.convert(tmp_path / "eight", bits=8, show_progress=False)
    with Collection(tmp_path / "eight", encoder()) as made:
        assert (made.bits, made.get(), made.verify()) == (8, collection.get(), [])
    with pytest.raises(InvalidInputError, match="4 bits a number already"):
        collection.convert(tmp_path / "same", bits=4)
    with pytest.raises(StoreError, match="exists"):
        collection.convert(tmp_path / "eight", bits=8)
    for wrong in ({"bits": 3}, {"bits": None}):
        with pytest.raises((InvalidInputError, InvalidTypeError)):
            collection.convert(tmp_path / "none", **wrong)
    with pytest.raises(InvalidTypeError):
        collection.convert(None, bits=8)
    assert not (tmp_path / "same").exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_conversion_that_is_killed_leaves_nothing_in_the_way(tmp_path, monkeypatch):
    with Collection(tmp_path / "eight", encoder()) as made:
        made.add(texts(20), show_progress=False)
        child = os.fork()
        if not child:
            monkeypatch.setattr(
                "retrievers.store._io.publish", lambda *_: os.kill(os.getpid(), signal.SIGKILL)
            )
            made.convert(tmp_path / "four", bits=4, show_progress=False)
            os._exit(0)
        assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
        assert not (tmp_path / "four").exists()
        assert [name for name in os.listdir(tmp_path) if name.endswith(".unfinished")]
        made.convert(tmp_path / "four", bits=4, show_progress=False)
    assert sorted(os.listdir(tmp_path)) == ["eight", "four"]


def test_writers_go_on_while_a_conversion_runs(tmp_path, monkeypatch):
    monkeypatch.setattr("retrievers.store.compaction.BLOCK_WINDOWS", 16)
    with (
        Collection(tmp_path / "eight", encoder()) as made,
        Collection(tmp_path / "eight", encoder()) as other,
    ):
        made.add(texts(100), ids=[f"d{n}" for n in range(100)], show_progress=False)
        seen = []

        def change(count):
            if not seen:
                other.delete(["d99"])
                other.compact(show_progress=False)
                other.add(["late"], ids=["late"], show_progress=False)
            seen.append(count)

        made.store.convert(tmp_path / "four", 4, change)
        assert len(seen) > 3
        assert "late" in made
        with Collection(tmp_path / "four", encoder()) as copy:
            assert copy.ids() == [f"d{n}" for n in range(100)]
            assert copy.verify() == []


def test_a_copy_and_a_pickle_open_it_with_its_bits(tmp_path):
    import copy
    import pickle

    with Collection(tmp_path / "four", encoder(), bits=4) as made:
        made.add(texts(5), show_progress=False)
        for other in (copy.copy(made), pickle.loads(pickle.dumps(made))):  # noqa: S301
            assert (other.bits, len(other)) == (4, 5)
            other.close()
    shutil.rmtree(tmp_path / "four")
