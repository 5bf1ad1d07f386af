"""The layouts that published families of models have: their lengths, modules, prefixes and number formats are taken.

Their rows are compared with PyLate's and sentence-transformers' in test_fidelity, and alone with those in a batch and
padded to any length in test_lfm2.
"""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from retrievers.encoder import LateInteractionEncoder
from tests.encoder.conftest import GOLDEN, NAME
from tests.golden.make import DOCUMENTS, LAYOUTS, QUERIES

LONG = " ".join(DOCUMENTS * 20)
# Tokens, as each checkpoint says them.
QUESTION_LENGTHS = {
    "layout-dense-stack": 48,
    "layout-8k": 32,
    "layout-bfloat16": 32,
    "layout-text-prefix": 256,
}
WINDOW_LENGTHS = {
    "layout-dense-stack": 512,
    "layout-8k": 8192,
    "layout-bfloat16": 512,
    "layout-text-prefix": 512,
}


def load(name, **options):
    return LateInteractionEncoder(name, **{"precision": "float32", "device": "cpu", **options})


@pytest.fixture(scope="module")
def encoders():
    return {name: load(str(GOLDEN / name)) for name in LAYOUTS}


@pytest.mark.parametrize("name", LAYOUTS)
def test_lengths_are_the_checkpoint_s(encoders, name):
    one = encoders[name]
    assert one.fingerprint["questions"]["length"] == QUESTION_LENGTHS[name]
    assert one.document_length == WINDOW_LENGTHS[name]
    [short] = one.encode_queries([QUERIES[0]])
    tokens = len(one._preprocess._whole(QUERIES[0], "query"))
    # Without expansion a question has a row for each of its tokens.
    assert len(short) == (tokens if name == "layout-text-prefix" else QUESTION_LENGTHS[name])


def test_a_long_text_is_one_window_of_a_model_that_reads_8192_tokens(encoders):
    one = encoders["layout-8k"]
    assert one.split(LONG) == [(0, len(LONG))]
    assert len(one.document_tokens(LONG)) > 1000
    assert len(encoders["layout-dense-stack"].split(LONG)) > 3
    [features] = one._preprocess([LONG], "document")
    [padded] = one._forward([features], "document", len(features["input_ids"]) + 100)
    [first, *_] = one.encode_documents([LONG, DOCUMENTS[0]])
    np.testing.assert_allclose(padded, first, rtol=0, atol=1e-5)


def test_a_question_of_a_hundred_tokens_is_whole_in_a_model_whose_questions_have_256(encoders):
    question = " ".join(QUERIES * 2)
    one = encoders["layout-text-prefix"]
    tokens = len(one._preprocess._whole(question, "query"))
    assert 100 < tokens < 256
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        [rows] = one.encode_queries([question])
    assert len(rows) == tokens


@pytest.mark.parametrize("name", LAYOUTS)
def test_prefixes_are_tokens_where_the_vocabulary_has_them_and_text_elsewhere(encoders, name):
    one = encoders[name]
    prefix = one._preprocess.prompts["document"]
    tokens = one.model.tokenizer.tokenize(prefix)
    if name == "layout-text-prefix":
        assert prefix == "passage: "
        assert len(tokens) > 1
    else:
        assert tokens == [prefix] == ["[D] "]


def test_each_layer_of_a_stack_shapes_the_rows(encoders):
    import torch

    one = encoders["layout-dense-stack"]
    stack = [module for module in one.model if type(module).__name__ == "Dense"]
    assert [(dense.in_features, dense.out_features, dense.use_residual) for dense in stack] == [
        (32, 64, True),
        (64, 8, False),
    ]
    before = next(one.encode_documents(DOCUMENTS[:1]))
    for weight in (stack[0].linear.weight, stack[0].residual.weight, stack[1].linear.weight):
        kept = weight.detach().clone()
        with torch.no_grad():
            weight.copy_(weight.flip(0))
        assert np.abs(next(one.encode_documents(DOCUMENTS[:1])) - before).max() > 0.01
        with torch.no_grad():
            weight.copy_(kept)


def test_a_file_of_bfloat16_is_the_same_model_in_every_precision(encoders):
    wide, narrow = encoders["layout-bfloat16"], load(str(GOLDEN / "layout-bfloat16"), precision="bfloat16")
    assert (wide.dtype, narrow.dtype) == ("float32", "bfloat16")
    assert wide.fingerprint["documents"] == narrow.fingerprint["documents"]
    for one, other in zip(wide.encode_documents(DOCUMENTS), narrow.encode_documents(DOCUMENTS), strict=True):
        assert (one * other).sum(1).min() > 0.98


def test_punctuation_has_rows_where_there_is_no_skiplist(encoders):
    text = "tea: 2.80 euros!"
    kept = {name: [text[a:b] for a, b in encoders[name].document_tokens(text)] for name in LAYOUTS}
    assert {"!", ":"} <= set(kept["layout-text-prefix"])
    assert not {"!", ":"} & set(kept["layout-dense-stack"])


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_loads_online_and_then_offline(hub, encoders, name):
    commit = hub.commit(NAME, GOLDEN / name)
    wanted = np.concatenate(list(encoders[name].encode_documents(DOCUMENTS)))
    online = load(NAME)
    hub.stop()
    offline = load(NAME, local_files_only=True)
    for one in (online, offline):
        assert one.fingerprint["origin"]["commit"] == commit
        np.testing.assert_array_equal(np.concatenate(list(one.encode_documents(DOCUMENTS))), wanted)
