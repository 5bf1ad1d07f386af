"""Nothing half loads: a checkpoint that lacks something, or has what cannot be, is an error that names the file."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import pytest

from retrievers.encoder import LateInteractionEncoder
from retrievers.errors import DamagedModelError, InvalidInputError, RetrieversError

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture
def checkpoint(tmp_path):
    return Path(shutil.copytree(GOLDEN / "pylate-bert", tmp_path / "model"))


def load(directory, **options):
    return LateInteractionEncoder(str(directory), device="cpu", **options)


def edit(file, **changes):
    file.write_text(json.dumps({**json.loads(file.read_text("utf-8")), **changes}), "utf-8")


def remove_weight(file, *names):
    from safetensors.torch import load_file, save_file

    weights = load_file(file)
    for name in names:
        del weights[name]
    save_file(weights, file, metadata={"format": "pt"})


def test_weights_that_are_in_no_file_are_not_drawn_at_random(checkpoint):
    remove_weight(checkpoint / "model.safetensors", "encoder.layer.1.output.dense.weight")
    with pytest.raises(DamagedModelError, match=r"lack the weights encoder.layer.1.output.dense.weight"):
        load(checkpoint)


def test_the_weights_of_a_pooler_are_not_needed(checkpoint):
    remove_weight(checkpoint / "model.safetensors", "pooler.dense.weight", "pooler.dense.bias")
    assert load(checkpoint).dim == 8


def test_the_weights_of_a_projection_are_needed(checkpoint):
    remove_weight(checkpoint / "1_Dense" / "model.safetensors", "linear.weight")
    with pytest.raises(DamagedModelError, match=r"linear\.weight"):
        load(checkpoint)


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("config.json", "there is no config.json"),
        ("model.safetensors", "there is no weight file in its directory"),
        ("1_Dense/config.json", "1_Dense/config.json is missing"),
        ("1_Dense/model.safetensors", "there is no weight file in 1_Dense/"),
        ("tokenizer.json", "cannot be loaded"),
    ],
)
def test_a_file_that_is_missing_is_named(checkpoint, file, words):
    (checkpoint / file).unlink()
    with pytest.raises(DamagedModelError, match=words):
        load(checkpoint)


@pytest.mark.parametrize(
    "file", ["config.json", "modules.json", "tokenizer.json", "sentence_bert_config.json"]
)
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xef\xbb\xbf{}", "begins with a byte order mark"),
        (b"{", "is no JSON"),
        (b"\xff\xfe\x00", "is no JSON: 'utf-8' codec"),
        (b"[" * 100_000, "is no JSON"),
    ],
)
def test_json_that_cannot_be_read_is_named(checkpoint, file, content, words):
    (checkpoint / file).write_bytes(content)
    with pytest.raises(DamagedModelError, match=f"{file} {words}"):
        load(checkpoint)


@pytest.mark.parametrize("content", [b"", b"\x00" * 100, pickle.dumps({"linear.weight": 1}), None])
@pytest.mark.parametrize("file", ["model.safetensors", "1_Dense/model.safetensors"])
def test_weights_that_are_no_safetensors_are_named_and_no_pickle_is_run(checkpoint, file, content):
    path = checkpoint / file
    path.write_bytes(path.read_bytes()[:-100] if content is None else content)
    with pytest.raises(DamagedModelError, match=f"{file} is no whole safetensors file"):
        load(checkpoint)


class Evil:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def test_a_pickle_among_the_weights_is_read_without_being_run(checkpoint):
    ran = checkpoint / "ran"
    (checkpoint / "1_Dense" / "model.safetensors").unlink()
    (checkpoint / "1_Dense" / "pytorch_model.bin").write_bytes(pickle.dumps({"linear.weight": Evil(ran)}))
    with pytest.raises(DamagedModelError, match="cannot be loaded"):
        load(checkpoint)
    assert not ran.exists()


@pytest.mark.parametrize("path", ["../1_Dense", "/etc", "a/../../b", "C:\\models", "\0"])
def test_a_module_s_path_does_not_leave_the_checkpoint(checkpoint, path):
    modules = json.loads((checkpoint / "modules.json").read_text("utf-8"))
    modules[1]["path"] = path
    (checkpoint / "modules.json").write_text(json.dumps(modules), "utf-8")
    with pytest.raises(DamagedModelError, match=r"modules\.json has .*path"):
        load(checkpoint)


@pytest.mark.parametrize("modules", [[], {}, [1], [{"path": ""}], [{"type": "x", "path": 3}]])
def test_modules_that_are_none_are_an_error(checkpoint, modules):
    (checkpoint / "modules.json").write_text(json.dumps(modules), "utf-8")
    with pytest.raises(DamagedModelError, match=r"modules\.json"):
        load(checkpoint)


@pytest.mark.parametrize("value", ["32", 10**6, 0, -1, True, 1.5])
@pytest.mark.parametrize("key", ["query_length", "document_length"])
def test_a_length_that_cannot_be_is_named_with_its_file(checkpoint, key, value):
    edit(checkpoint / "config_sentence_transformers.json", **{key: value})
    with pytest.raises(
        DamagedModelError, match=rf"config_sentence_transformers.json has {key} .*from 1 to 128"
    ):
        load(checkpoint)


def test_a_hundred_thousand_layers_are_refused_before_they_are_built(checkpoint):
    edit(checkpoint / "config.json", num_hidden_layers=10**5)
    with pytest.raises(
        DamagedModelError, match=r"config.json has num_hidden_layers 100000; .* from 1 to 1024"
    ):
        load(checkpoint)


def test_a_shard_that_is_missing_is_named(checkpoint):
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors"}}
    (checkpoint / "model.safetensors.index.json").write_text(json.dumps(index), "utf-8")
    with pytest.raises(DamagedModelError, match=r"names model-00001-of-00002.safetensors, which is missing"):
        load(checkpoint)


def test_page_images_are_refused(checkpoint):
    edit(checkpoint / "config.json", architectures=["ColQwen2ForRetrieval"])
    with pytest.raises(InvalidInputError, match=r"is a model of page images \(ColQwen2ForRetrieval\)"):
        load(checkpoint)


@pytest.mark.parametrize(
    ("file", "mapped"),
    [
        ("config.json", {"AutoModel": "modeling_tiny.TinyModel"}),
        ("tokenizer_config.json", {"AutoTokenizer": [None, "tokenization_tiny.Tiny"]}),
        ("config.json", {"AutoModel": "other/code--modeling_tiny.TinyModel"}),
    ],
)
def test_code_that_is_not_trusted_is_named_and_nothing_is_loaded_without_it(checkpoint, file, mapped):
    edit(checkpoint / file, auto_map=mapped)
    with pytest.raises(InvalidInputError, match=rf"{file}\)\. .*another model.* trust_remote_code=True"):
        load(checkpoint)


def test_a_module_class_of_the_checkpoint_s_own_is_code_too(checkpoint):
    modules = json.loads((checkpoint / "modules.json").read_text("utf-8"))
    modules[1]["type"] = "custom_st.Projection"
    (checkpoint / "modules.json").write_text(json.dumps(modules), "utf-8")
    with pytest.raises(InvalidInputError, match=r"custom_st.Projection in modules.json"):
        load(checkpoint)


CODE = """
from transformers import BertModel

class TinyModel(BertModel):
    def forward(self, *arguments, **options):
        output = super().forward(*arguments, **options)
        output.last_hidden_state = {factor} * output.last_hidden_state.roll(1, -1)
        return output
"""


def test_code_that_is_trusted_runs_and_is_part_of_the_identity(checkpoint):
    import numpy as np

    from retrievers.encoder.identity import compare

    edit(checkpoint / "config.json", auto_map={"AutoModel": "modeling_tiny.TinyModel"})
    (checkpoint / "modeling_tiny.py").write_text(CODE.format(factor=1), "utf-8")
    trusted = load(checkpoint, trust_remote_code=True, precision="float32")
    assert type(trusted.model[0].model).__name__ == "TinyModel"
    plain = load(GOLDEN / "pylate-bert", precision="float32")
    text = ["Ada wrote the first program."]
    assert np.abs(next(trusted.encode_documents(text)) - next(plain.encode_documents(text))).max() > 0.1
    assert compare(plain.fingerprint, trusted.fingerprint) == [
        "the code that comes with the checkpoint is another",
        "the configuration of the model or of one of its modules (such as a dense layer) is another",
    ]
    assert trusted.fingerprint["options"]["trust_remote_code"] is True
    (checkpoint / "modeling_tiny.py").write_text(CODE.format(factor=2), "utf-8")
    again = load(checkpoint, trust_remote_code=True)
    assert compare(trusted.fingerprint, again.fingerprint) == [
        "the code that comes with the checkpoint is another"
    ]


def test_a_device_that_torch_does_not_know_is_named():
    with pytest.raises(InvalidInputError, match="device is 'gpu7'"):
        LateInteractionEncoder(str(GOLDEN / "pylate-bert"), device="gpu7")


def test_a_backend_whose_package_is_missing_is_an_error_of_ours():
    with pytest.raises(RetrieversError):
        load(GOLDEN / "pylate-bert", backend="onnx")
