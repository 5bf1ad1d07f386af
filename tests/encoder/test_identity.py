"""A model's identity: what its bytes and options decide, whatever its name and place; and how it is loaded again."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from retrievers import Collection
from retrievers.encoder import LateInteractionEncoder
from retrievers.encoder.identity import commit_of, compare, digest_of, in_words, where_from
from retrievers.errors import InvalidInputError, ModelMismatchError, ModelNotFoundError

GOLDEN = Path(__file__).parents[1] / "golden"


def tiny(place=GOLDEN / "pylate-bert", **options):
    return LateInteractionEncoder(str(place), **{"precision": "float32", "device": "cpu", **options})


@pytest.fixture(scope="module")
def plain():
    return tiny().fingerprint


@pytest.fixture
def moved(tmp_path):
    """The same checkpoint in another directory under another name."""
    return Path(shutil.copytree(GOLDEN / "pylate-bert", tmp_path / "another name"))


def edit(file, **changes):
    file.write_text(json.dumps({**json.loads(file.read_text("utf-8")), **changes}), "utf-8")


def test_a_fingerprint_is_json_and_says_where_its_model_is_from(plain):
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert plain["origin"] == {"kind": "directory", "name": str(GOLDEN / "pylate-bert"), "commit": None}
    assert plain["options"]["precision"] == "float32"


@pytest.mark.parametrize(
    "options", [{"precision": "bfloat16"}, {"overlap": 0}, {"token_budget": 7}, {"pack_weights": False}]
)
def test_how_a_model_runs_is_no_part_of_what_it_is(plain, options):
    assert compare(plain, tiny(**options).fingerprint) is None


def test_the_same_bytes_in_another_directory_are_the_same_model(plain, moved):
    assert compare(plain, tiny(moved).fingerprint) is None


def test_what_shapes_questions_alone_is_recorded_and_never_a_refusal(plain):
    for options in ({"query_length": 20}, {"prompts": {"query": "question: "}}):
        other = tiny(**options).fingerprint
        assert other["questions"]["digest"] != plain["questions"]["digest"]
        assert other["documents"] == plain["documents"]
        assert compare(plain, other) is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"document_length": 32}, "document_length 64 became 32"),
        ({"token_pooling": 2}, "token_pooling None became 2"),
        ({"prompts": {"document": "text: "}}, r"the prompt of documents '\[D\] ' became 'text: '"),
    ],
)
def test_an_option_that_changes_rows_of_documents_is_named(plain, options, words):
    [said] = compare(plain, tiny(**options).fingerprint)
    assert re.search(words, said)


def test_another_weight_tokenizer_skiplist_or_configuration_is_another_model(plain, moved):
    def differing():
        return compare(plain, tiny(moved).fingerprint)

    weights = moved / "1_Dense" / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + b"\x01")
    assert differing() == ["the weights are others"]
    weights.write_bytes(whole)
    edit(moved / "config_sentence_transformers.json", skiplist_words=["!"])
    assert differing() == ["the skiplist, the tokens that get no row, is another"]
    shutil.copy(GOLDEN / "pylate-bert" / "config_sentence_transformers.json", moved)
    edit(moved / "tokenizer_config.json", do_lower_case=False, unk_token="[MASK]")
    assert "the tokenizer is another" in differing()
    shutil.copy(GOLDEN / "pylate-bert" / "tokenizer_config.json", moved)
    edit(moved / "config.json", layer_norm_eps=0.1)
    [said] = differing()
    assert said.startswith("the configuration of the model or of one of its modules")


def test_weights_of_a_module_in_a_pickle_beside_safetensors_count(plain, moved):
    import torch
    from safetensors.torch import load_file

    dense = moved / "1_Dense"
    weights = load_file(dense / "model.safetensors")
    (dense / "model.safetensors").unlink()
    torch.save(weights, dense / "pytorch_model.bin")
    one = tiny(moved).fingerprint
    torch.save({name: 2 * value for name, value in weights.items()}, dense / "pytorch_model.bin")
    assert compare(one, tiny(moved).fingerprint) == ["the weights are others"]


def test_the_error_of_a_collection_names_what_differs(tmp_path, moved):
    Collection(tmp_path / "c", tiny()).close()
    edit(moved / "config_sentence_transformers.json", skiplist_words=["!"])
    with pytest.raises(ModelMismatchError, match="the skiplist, the tokens that get no row, is another"):
        Collection(tmp_path / "c", tiny(moved))


def test_a_collection_opens_again_with_the_options_that_it_was_written_with(tmp_path):
    wrote = tiny(document_length=32, overlap=3, token_pooling=2.0)
    with Collection(tmp_path / "c", wrote) as collection:
        collection.add(["Ada wrote the first program."], ids=["a"])
    with Collection(tmp_path / "c") as collection:
        again = collection.encoder
        assert (again.document_length, again.overlap, again.dtype) == (32, 3, "float32")
        assert again.fingerprint == wrote.fingerprint
        assert collection.search("program")[0].id == "a"


def test_a_directory_that_a_stranger_s_collection_names_is_not_loaded(plain):
    with pytest.raises(ModelNotFoundError, match="name the directory"):
        LateInteractionEncoder.from_fingerprint(plain)


def test_a_collection_whose_files_another_user_owns_names_no_directory(tmp_path, monkeypatch):
    Collection(tmp_path / "c", tiny()).close()
    monkeypatch.setattr("os.geteuid", lambda: 12345)
    with Collection(tmp_path / "c") as collection, pytest.raises(ModelNotFoundError, match="a stranger's"):
        _ = collection.encoder


def test_a_cache_folder_that_a_stranger_s_collection_names_is_not_used():
    from retrievers.encoder.fingerprints import reopening

    stored = {
        "identity": 2,
        "model": "acme/tiny",
        "dim": 8,
        "origin": {"kind": "hub", "name": "acme/tiny", "commit": "0" * 40},
        "documents": {},
        "questions": {},
        "options": {"cache_folder": "/tmp/theirs", "trust_remote_code": False},
    }
    off = {"mean_weight": 0, "query_weights": ()}  # of a collection that was made before they were options
    assert reopening(stored, owned=False) == {"model": "acme/tiny", "revision": "0" * 40, **off}
    assert reopening(stored, owned=True)["cache_folder"] == "/tmp/theirs"
    stored["options"]["config_kwargs"] = {"trust_remote_code": True}
    assert reopening(stored, owned=True)["config_kwargs"] == {}
    with pytest.raises(ModelNotFoundError, match="with config_kwargs, which are not taken from it"):
        reopening(stored, owned=False)
    stored["options"]["trust_remote_code"] = True
    with pytest.raises(InvalidInputError, match="A collection never turns trust on"):
        reopening(stored, owned=True)


def first(encoder, model="pylate-bert"):
    """The fingerprint that an earlier version would have stored."""
    given = encoder.fingerprint
    return {
        "model": model,
        "weights": given["first_weights"],
        "dim": given["dim"],
        "document_length": given["documents"]["length"],
        "query_length": None,
        "query_width": given["questions"]["length"],
        "prompts": {"query": given["questions"]["prompt"], "document": given["documents"]["prompt"]},
        "token_pooling": None,
    }


def test_a_fingerprint_of_the_first_shape_is_the_same_model_and_keeps_white_space(tmp_path):
    one = tiny(GOLDEN / "pylate-lfm2")
    stored = first(one)
    assert compare(stored, one.fingerprint) is None
    assert compare(stored, tiny(GOLDEN / "pylate-lfm2", document_length=32).fingerprint) is not None
    text = "\n  tea and coffee  "
    before = one.as_written(stored)
    assert before.model is one.model
    assert len(next(before.encode_documents([text]))) > len(next(one.encode_documents([text])))
    np.testing.assert_array_equal(
        next(one.encode_documents([text])), next(one.encode_documents([text.strip()]))
    )


def test_a_directory_s_name_of_the_first_shape_is_never_asked_of_a_hub():
    stored = first(tiny())
    with pytest.raises(ModelNotFoundError, match="name the directory"):
        LateInteractionEncoder.from_fingerprint(stored, owned=True)


def test_spans_point_into_the_text_with_its_white_space():
    text = "\n  tea and coffee  "
    one = tiny()
    spans = [span for span in one.document_tokens(text) if span != (0, 0)]
    assert text[spans[0][0] : spans[-1][1]] == "tea and coffee"
    assert len(one.document_tokens(text)) == len(next(one.encode_documents([text])))


def test_info_shows_where_the_model_is_from_and_what_its_digests_are_made_of(tmp_path):
    one = tiny(query_length=20)
    with Collection(tmp_path / "c", one) as collection:
        info = collection.info()
    assert (info.model, info.model_kind, info.model_commit) == (
        str(GOLDEN / "pylate-bert"),
        "directory",
        None,
    )
    assert info.documents_digest == one.fingerprint["documents"]["digest"]
    assert info.questions_digest == one.fingerprint["questions"]["digest"]
    weights = one.fingerprint["documents"]["weights"]
    for words in ("length 64 tokens", "every row is kept", "prompt '[D] '", f"weights {weights[:12]};"):
        assert words in info.document_options
    for words in ("length 20 tokens", "prompt '[Q] '", '"length":20'):
        assert words in info.question_options


def test_info_of_the_first_shape_says_what_that_shape_has():
    stored = first(tiny())
    assert in_words(stored, "documents").startswith(
        "prompt '[D] '; length 64 tokens; every row is kept; weights "
    )
    assert in_words(stored, "questions") == "prompt '[Q] '; length 16 tokens"
    assert digest_of(stored, "documents") is None


def test_info_of_an_encoder_of_the_user_s_own_says_nothing_of_digests():
    for fingerprint in ({"model": "mine", "dim": 8}, {"origin": "x", "documents": {"digest": 3}, "dim": 8}):
        assert (where_from(fingerprint), commit_of(fingerprint)) == (None, None)
        assert (digest_of(fingerprint, "documents"), in_words(fingerprint, "documents")) == (None, None)


def test_info_of_a_stranger_s_fingerprint_is_one_printable_line():
    parts = dict.fromkeys(
        ("weights", "prompt", "white_space", "length", "pooling", "x\x1b[2J"), "a\x1b[2J\n\u202e"
    )
    stored = {"identity": 2, "documents": parts | {"options": [1, {"\x1b": None}]}, "dim": 8}
    assert in_words(stored, "documents").isprintable()
