"""Lfm2 as it was trained: query expansion is read by the short convolutions, and no row depends on its batch."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from retrievers.encoder import LateInteractionEncoder
from tests.golden.make import DOCUMENTS, LAYOUTS, NATIVE, PYLATE, QUERIES

GOLDEN = Path(__file__).parents[1] / "golden"
ENCODERS: dict[str, LateInteractionEncoder] = {}


def encoder(name):
    if name not in ENCODERS:
        ENCODERS[name] = LateInteractionEncoder(
            str(GOLDEN / name), precision="float32", device="cpu", token_budget=4096
        )
    return ENCODERS[name]


def reference(directory: Path, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Lfm2Model's last hidden states from the weights alone, its convolutions unmasked.

    ids and mask, (texts, tokens) → (texts, tokens, width). No code of transformers is called.
    """
    from safetensors.torch import load_file

    config = json.loads((directory / "config.json").read_text("utf-8"))
    loaded = load_file(directory / "model.safetensors")
    w = {name.removeprefix("model."): tensor.float() for name, tensor in loaded.items()}
    eps, heads, groups = config["norm_eps"], config["num_attention_heads"], config["num_key_value_heads"]
    theta = (config.get("rope_parameters") or config).get("rope_theta", 1e6)

    def norm(x, weight):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * weight

    def rotate(x):
        size = x.shape[-1]
        angle = torch.arange(x.shape[-2])[:, None] * theta ** (-torch.arange(0, size, 2) / size)[None]
        cos, sin = angle.cos().repeat(1, 2), angle.sin().repeat(1, 2)
        return x * cos + torch.cat([-x[..., size // 2 :], x[..., : size // 2]], -1) * sin

    x = w["embed_tokens.weight"][ids]
    texts, tokens = ids.shape
    seen = torch.ones(tokens, tokens, dtype=torch.bool).tril() & mask.bool()[:, None, None, :]
    for i, kind in enumerate(config["layer_types"]):
        p = f"layers.{i}."
        h = norm(x, w[p + "operator_norm.weight"])
        if kind == "conv":
            b, c, v = F.linear(h, w[p + "conv.in_proj.weight"]).transpose(1, 2).chunk(3, 1)
            kernel = w[p + "conv.conv.weight"]
            mixed = F.conv1d(F.pad(b * v, (kernel.shape[-1] - 1, 0)), kernel, groups=kernel.shape[0])
            h = F.linear((c * mixed).transpose(1, 2), w[p + "conv.out_proj.weight"])
        else:
            size = w[p + "self_attn.q_proj.weight"].shape[0] // heads
            q = F.linear(h, w[p + "self_attn.q_proj.weight"]).view(texts, tokens, heads, size)
            k = F.linear(h, w[p + "self_attn.k_proj.weight"]).view(texts, tokens, groups, size)
            v = (
                F.linear(h, w[p + "self_attn.v_proj.weight"])
                .view(texts, tokens, groups, size)
                .transpose(1, 2)
            )
            q = rotate(norm(q, w[p + "self_attn.q_layernorm.weight"]).transpose(1, 2))
            k = rotate(norm(k, w[p + "self_attn.k_layernorm.weight"]).transpose(1, 2))
            k, v = (one.repeat_interleave(heads // groups, 1) for one in (k, v))
            h = F.scaled_dot_product_attention(q, k, v, attn_mask=seen)
            h = F.linear(h.transpose(1, 2).reshape(texts, tokens, -1), w[p + "self_attn.out_proj.weight"])
        x = x + h
        h = norm(x, w[p + "ffn_norm.weight"])
        gate, up = F.linear(h, w[p + "feed_forward.w1.weight"]), F.linear(h, w[p + "feed_forward.w3.weight"])
        x = x + F.linear(F.silu(gate) * up, w[p + "feed_forward.w2.weight"])
    return norm(x, w["embedding_norm.weight"])


@pytest.mark.parametrize("name", ["pylate-lfm2", "native-lfm2", "layout-bfloat16"])
@pytest.mark.parametrize("together", [True, False])
def test_questions_are_those_of_the_weights_alone(name, together):
    one = encoder(name)
    features = one._preprocess(QUERIES[:2], "query")
    assert not bool(features[0]["attention_mask"].all())  # there is query expansion
    batches = [features] if together else [[feature] for feature in features]
    for batch in batches:
        ids, mask = (torch.stack([one[key] for one in batch]) for key in ("input_ids", "attention_mask"))
        with torch.inference_mode():
            states = one.model[0].model(input_ids=ids, attention_mask=mask).last_hidden_state
        torch.testing.assert_close(states, reference(GOLDEN / name, ids, mask), rtol=0, atol=1e-5)


def test_the_fingerprint_marks_that_the_convolutions_read_query_expansion():
    assert encoder("pylate-lfm2").fingerprint["questions"]["convolutions"] == "unmasked"
    assert "convolutions" not in encoder("pylate-bert").fingerprint["questions"]


texts = st.lists(st.sampled_from(DOCUMENTS + QUERIES), min_size=1, max_size=5)


@pytest.mark.parametrize("name", PYLATE + NATIVE + LAYOUTS)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=texts, more=st.integers(0, 40))
@pytest.mark.filterwarnings("ignore:A question of")
def test_a_row_depends_neither_on_its_batch_nor_on_padding(name, texts, more):
    one = encoder(name)
    for task in ("document", "query"):
        together = one._encode(texts, task)
        for text, matrix in zip(texts, together, strict=True):
            [features] = one._preprocess([text], task)
            [padded] = one._forward([features], task, len(features["input_ids"]) + more)
            np.testing.assert_allclose(matrix, one._encode([text], task)[0], rtol=0, atol=1e-5)
            np.testing.assert_allclose(matrix, padded, rtol=0, atol=1e-5)


def test_a_model_that_reads_padding_encodes_only_texts_of_equal_length_together(monkeypatch):
    from transformers.models.lfm2 import modeling_lfm2

    causal = modeling_lfm2.Lfm2ShortConv.forward

    def looking_ahead(self, hidden_states, *arguments, **options):
        return causal(self, hidden_states.roll(-1, 1), *arguments, **options)

    monkeypatch.setattr(modeling_lfm2.Lfm2ShortConv, "forward", looking_ahead)
    one = LateInteractionEncoder(
        str(GOLDEN / "pylate-lfm2"), precision="float32", device="cpu", token_budget=4096
    )
    shapes, pad = [], one._preprocess.pad

    def watched(features, length):
        shapes.append({len(feature["input_ids"]) for feature in features} | {length})
        return pad(features, length)

    monkeypatch.setattr(one._preprocess, "pad", watched)
    together = list(one.encode_documents(DOCUMENTS))
    assert all(len(lengths) == 1 for lengths in shapes)
    for text, matrix in zip(DOCUMENTS, together, strict=True):
        np.testing.assert_allclose(matrix, next(one.encode_documents([text])), rtol=0, atol=1e-5)
