"""Our rows are those of PyLate and of sentence-transformers, for every save format: see tests/golden/make.py."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from retrievers.encoder import LateInteractionEncoder

GOLDEN = Path(__file__).parents[1] / "golden"
FILES = sorted(path.name for path in GOLDEN.glob("*.npz"))


def make():
    spec = importlib.util.spec_from_file_location("golden_make", GOLDEN / "make.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


QUERIES, DOCUMENTS = make().QUERIES, make().DOCUMENTS


@pytest.fixture(scope="module", params=FILES)
def case(request):
    """A checkpoint read as its reference reads it, and the reference's arrays."""
    golden = dict(np.load(GOLDEN / request.param))
    width = int(golden["query_ids_lengths"].max())
    encoder = LateInteractionEncoder(
        str(GOLDEN / request.param.split(".")[0]), precision="float32", device="cpu", query_length=width
    )
    return encoder, golden


def parts(golden, name):
    return np.split(golden[name], np.cumsum(golden[f"{name}_lengths"])[:-1])


def test_every_save_format_and_backbone_is_compared():
    assert FILES == [
        "layout-8k.pylate.npz",
        "layout-bfloat16.pylate.npz",
        "layout-dense-stack.pylate.npz",
        "layout-text-prefix.sentence-transformers.npz",
        "native-lfm2.sentence-transformers.npz",
        "native-modernbert.sentence-transformers.npz",
        "pylate-bert.pylate.npz",
        "pylate-bert.sentence-transformers.npz",
        "pylate-lfm2.pylate.npz",
        "pylate-lfm2.sentence-transformers.npz",
        "pylate-modernbert.pylate.npz",
        "pylate-modernbert.sentence-transformers.npz",
        "pylate-xlm-roberta.pylate.npz",
        "pylate-xlm-roberta.sentence-transformers.npz",
        "stanford-bert.pylate.npz",
        "stanford-bert.sentence-transformers.npz",
    ]


@pytest.mark.filterwarnings("ignore:A question of")
def test_token_ids_are_the_reference_s(case):
    encoder, golden = case
    for task, texts in (("query", QUERIES), ("document", DOCUMENTS)):
        ours = [one["input_ids"].tolist() for one in encoder._preprocess(texts, task)]
        assert ours == [ids.tolist() for ids in parts(golden, f"{task}_ids")]


@pytest.mark.filterwarnings("ignore:A question of")
def test_rows_are_the_reference_s_to_five_decimals(case):
    encoder, golden = case
    pairs = [
        *zip(encoder.encode_queries(QUERIES), parts(golden, "query_rows"), strict=True),
        *zip(encoder.encode_documents(DOCUMENTS), parts(golden, "document_rows"), strict=True),
    ]
    for ours, theirs in pairs:
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)


@pytest.mark.filterwarnings("ignore:A question of")
def test_maxsim_is_the_reference_s_to_five_decimals(case):
    encoder, golden = case
    queries, documents = encoder.encode_queries(QUERIES), list(encoder.encode_documents(DOCUMENTS))
    scores = [[(query @ document.T).max(1).sum() for document in documents] for query in queries]
    np.testing.assert_allclose(scores, golden["scores"], rtol=0, atol=1e-5)


@pytest.mark.filterwarnings("ignore:A question of")
def test_each_row_has_its_token_named(case):
    encoder, golden = case
    assert [len(encoder.query_tokens(text)) for text in QUERIES] == golden["query_rows_lengths"].tolist()
    assert [len(encoder.document_tokens(text)) for text in DOCUMENTS] == golden[
        "document_rows_lengths"
    ].tolist()


@pytest.mark.parametrize("name", ["pylate-bert", "pylate-lfm2", "pylate-modernbert", "pylate-xlm-roberta"])
def test_a_matrix_does_not_depend_on_its_batch(name):
    # Lfm2's convolution reads over the borders of texts that are packed into one sequence, and padding may
    # leak anywhere: both would show here.
    encoder = LateInteractionEncoder(str(GOLDEN / name), precision="float32", device="cpu", token_budget=4096)
    together = list(encoder.encode_documents(DOCUMENTS))
    backwards = list(encoder.encode_documents(DOCUMENTS[::-1]))[::-1]
    alone = [next(encoder.encode_documents([text])) for text in DOCUMENTS]
    for one, other, third in zip(together, alone, backwards, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5)
        np.testing.assert_allclose(one, third, rtol=0, atol=1e-5)


def test_texts_are_never_packed_into_one_sequence():
    encoder = LateInteractionEncoder(str(GOLDEN / "pylate-lfm2"), device="cpu")
    assert encoder.model[0].unpad_inputs is False
    assert encoder.model[0].can_flatten_inputs is False


def test_a_long_question_is_read_to_its_end_unless_a_length_is_asked_for():
    question = QUERIES[3] + " " + QUERIES[3]
    whole = LateInteractionEncoder(str(GOLDEN / "pylate-bert"), precision="float32", device="cpu")
    rows = whole.encode_queries([QUERIES[0], question])
    assert [len(matrix) for matrix in rows] == [16, len(whole._preprocess._whole(question, "query"))]
    narrow = LateInteractionEncoder(
        str(GOLDEN / "pylate-bert"), precision="float32", device="cpu", query_length=16
    )
    with pytest.warns(UserWarning, match=r"A question of \d+ tokens was cut to the 16 that the model reads"):
        cut = narrow.encode_queries([QUERIES[0], question])
    assert [len(matrix) for matrix in cut] == [16, 16]
    np.testing.assert_allclose(rows[0], cut[0], rtol=0, atol=1e-6)
