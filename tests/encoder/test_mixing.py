"""The whole in every row, and weights on a question's rows: what they compute, and what a collection keeps of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from retrievers import Collection
from retrievers.encoder import LateInteractionEncoder, identity
from retrievers.errors import InvalidInputError, ModelMismatchError
from tests.encoder.conftest import GOLDEN

CHECKPOINT = str(GOLDEN / "pylate-modernbert")
TEXTS = ["Paris is the capital of France.", "tea", "Ada Lovelace wrote the first program, in 1843."]
OPTIONS = {"precision": "float32", "device": "cpu"}


@pytest.fixture(scope="module")
def plain():
    return LateInteractionEncoder(CHECKPOINT, **OPTIONS)


@pytest.fixture(scope="module")
def mixed():
    return LateInteractionEncoder(CHECKPOINT, mean_weight=0.25, query_weights=["idf", "length"], **OPTIONS)


def with_mean(rows, weight):
    mean = rows.mean(axis=0)
    whole = rows + weight * mean / np.linalg.norm(mean)
    return whole / np.linalg.norm(whole, axis=1, keepdims=True)


def test_each_row_of_a_document_is_mixed_with_the_mean_of_its_kept_rows(plain, mixed):
    # Together they are padded: the mean is that of the text's own rows.
    for before, after in zip(plain.encode_documents(TEXTS), mixed.encode_documents(TEXTS), strict=True):
        assert after == pytest.approx(with_mean(before, 0.25), abs=1e-6)


def test_rows_are_mixed_before_they_are_pooled(plain):
    pooled = LateInteractionEncoder(CHECKPOINT, mean_weight=0.5, token_pooling=2, **OPTIONS)
    module = pooled._pooling
    for before, after in zip(plain.encode_documents(TEXTS), pooled.encode_documents(TEXTS), strict=True):
        [wanted] = module.pool([torch.from_numpy(with_mean(before, 0.5))], task="document")
        assert after == pytest.approx(wanted.numpy(), abs=1e-5)


def test_a_question_s_rows_are_mixed_and_as_long_as_their_hidden_states(plain, mixed):
    hidden = []
    module = plain.model[-1]
    hook = module.register_forward_pre_hook(lambda _, given: hidden.append(given[0]["token_embeddings"]))
    [before], [after] = plain.encode_queries(TEXTS[:1]), mixed.encode_queries(TEXTS[:1])
    hook.remove()
    lengths = hidden[0][0].norm(dim=-1).numpy()
    assert len(lengths) == len(before)  # this model keeps every row of a question
    assert np.linalg.norm(after, axis=1) == pytest.approx(lengths / lengths.mean(), rel=1e-4)
    assert lengths.std() > 0.01 * lengths.mean()
    assert after / np.linalg.norm(after, axis=1, keepdims=True) == pytest.approx(
        with_mean(before, 0.25), abs=1e-5
    )


def test_tokens_are_numbered_as_the_rows_are(plain):
    assert len(plain.query_ids(TEXTS[2])) == len(plain.encode_queries(TEXTS[2:])[0])
    numbers = plain.document_ids(["", *TEXTS])
    rows = [len(matrix) for matrix in plain.encode_documents(["", *TEXTS])]
    assert [len(some) for some in numbers] == rows
    assert plain.query_ids(" ") == []


def test_without_the_options_a_trained_model_is_what_it_was(plain):
    assert plain.query_weights == ()
    assert plain.fingerprint["options"]["mean_weight"] == 0
    assert "mean_weight" not in plain.fingerprint["documents"]
    assert "weights" not in plain.fingerprint["questions"]


def test_the_weight_of_the_mean_is_part_of_the_identity_and_named_where_it_differs(plain, mixed, tmp_path):
    Collection(tmp_path / "plain", plain).close()
    with pytest.raises(ModelMismatchError, match=r"mean_weight.* 0 became 0\.25"):
        Collection(tmp_path / "plain", mixed)
    Collection(tmp_path / "mixed", mixed).close()
    with pytest.raises(ModelMismatchError, match=r"mean_weight.* 0\.25 became 0"):
        Collection(tmp_path / "mixed", plain)
    weighted = LateInteractionEncoder(CHECKPOINT, query_weights=["length"], **OPTIONS)
    assert identity.compare(plain.fingerprint, weighted.fingerprint) is None
    assert "mixed with 0.25 of the mean" in identity.in_words(mixed.fingerprint, "documents")
    assert "weighted by length and idf" in identity.in_words(mixed.fingerprint, "questions")


def test_a_fingerprint_of_the_first_shape_has_no_mean_in_its_rows(plain, mixed):
    first = {
        "model": "pylate-modernbert",
        "weights": plain.fingerprint["first_weights"],
        "dim": plain.dim,
        "document_length": plain.document_length,
        "query_length": None,
        "query_width": plain.fingerprint["questions"]["length"],
        "prompts": {"document": plain.fingerprint["documents"]["prompt"], "query": ""},
        "token_pooling": None,
    }
    assert identity.compare(first, plain.fingerprint) is None
    assert "mean_weight" in identity.compare(first, mixed.fingerprint)[0]


def test_a_collection_reopens_with_the_options_that_it_stored(mixed, tmp_path):
    with Collection(tmp_path / "c", mixed) as collection:
        collection.add(TEXTS)
        before = collection.search("Who wrote the first program?")
    with Collection(tmp_path / "c") as collection:
        assert collection.search("Who wrote the first program?") == before
        assert collection.encoder.query_weights == ("length", "idf")
        assert collection.info().counts_tokens


def test_of_a_collection_of_before_the_options_are_off(plain):
    from retrievers.encoder.fingerprints import reopening

    stored = dict(plain.fingerprint)
    stored["options"] = {
        key: value for key, value in stored["options"].items() if key not in ("mean_weight", "query_weights")
    }
    options = reopening(stored, owned=True)
    assert (options["mean_weight"], list(options["query_weights"])) == (0, [])


@pytest.mark.parametrize(
    "options",
    [{"mean_weight": value} for value in (-0.1, True, "much", float("nan"), float("inf"))]
    + [{"query_weights": value} for value in ("idf", ["tf"], 3, [["idf"]])],
)
def test_an_option_that_cannot_be_used_is_refused(options):
    with pytest.raises(InvalidInputError, match=next(iter(options))):
        LateInteractionEncoder(CHECKPOINT, **OPTIONS, **options)
