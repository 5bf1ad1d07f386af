"""Packed linear layers give the rows of torch's own, follow their weights, and are left out where they do not work."""

from __future__ import annotations

import copy
import platform
from pathlib import Path

import numpy as np
import pytest
import torch

from retrievers.encoder import LateInteractionEncoder, onednn
from retrievers.encoder.onednn import MACHINES, PackedLinear, pack

CHECKPOINT = str(Path(__file__).parents[1] / "golden" / "pylate-lfm2")
TEXTS = ["Ada wrote the first program.", "tea and coffee", "Paris is the capital of France; Berlin is not."]

# On these processors the operators must be there: a torch without them is a failure, for packing would end in silence.
needs_operators = pytest.mark.skipif(
    platform.machine() not in MACHINES, reason="weights are packed on x86-64 alone"
)


def packed_layer(bias=True):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(48, 24, bias=bias))
    pack(model)
    return model[0]


def plain(layer, batch):
    return torch.nn.functional.linear(batch, layer.weight, layer.bias)


def encoder(**options):
    return LateInteractionEncoder(CHECKPOINT, device="cpu", **{"precision": "float32", **options})


def unpack(model):
    for layer in model.modules():
        if type(layer) is PackedLinear:
            layer.__class__ = torch.nn.Linear


@needs_operators
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_an_encoder_is_packed_and_its_rows_are_those_of_torch(precision):
    if precision == "bfloat16" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        pytest.skip("this processor has no bfloat16 product")
    one = encoder(precision=precision)
    layers = [layer for layer in one.model.modules() if isinstance(layer, torch.nn.Linear)]
    assert layers
    assert all(type(layer) is PackedLinear for layer in layers)
    packed = [*one.encode_documents(TEXTS), *one.encode_queries(TEXTS)]
    assert all(layer._packed is not None for layer in layers)
    unpack(one.model)
    for ours, theirs in zip(packed, [*one.encode_documents(TEXTS), *one.encode_queries(TEXTS)], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5 if precision == "float32" else 0.05)


@needs_operators
def test_torch_has_the_operators_and_they_multiply():
    assert onednn._works(torch.float32)


def test_packing_can_be_turned_off():
    one = encoder(pack_weights=False)
    assert not [layer for layer in one.model.modules() if type(layer) is PackedLinear]
    for ours, theirs in zip(one.encode_documents(TEXTS), encoder().encode_documents(TEXTS), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)


@needs_operators
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(48,), (1, 48), (7, 48), (2, 3, 48), (0, 48)])
def test_a_product_has_the_shape_and_the_numbers_of_torch(bias, shape):
    layer, batch = packed_layer(bias), torch.randn(shape)
    with torch.no_grad():
        torch.testing.assert_close(layer(batch), plain(layer, batch), rtol=1e-5, atol=1e-5)


@needs_operators
def test_a_changed_weight_is_packed_anew():
    layer, batch = packed_layer(), torch.randn(5, 48)
    with torch.inference_mode():
        layer(batch)
    with torch.no_grad():
        layer.weight.mul_(2)
        torch.testing.assert_close(layer(batch), plain(layer, batch), rtol=1e-5, atol=1e-5)
        layer.load_state_dict({"weight": torch.randn(24, 48), "bias": torch.zeros(24)})
        torch.testing.assert_close(layer(batch), plain(layer, batch), rtol=1e-5, atol=1e-5)
        layer.double().float()
        assert layer._packed is None
        torch.testing.assert_close(layer(batch), plain(layer, batch), rtol=1e-5, atol=1e-5)


def test_an_encoder_can_be_made_in_inference_mode():
    with torch.inference_mode():
        one = encoder()
    for ours, theirs in zip(one.encode_documents(TEXTS), encoder().encode_documents(TEXTS), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)


def test_packing_draws_no_random_number():
    model = torch.nn.Sequential(torch.nn.Linear(48, 24))
    state = torch.get_rng_state()
    pack(model)
    assert torch.equal(torch.get_rng_state(), state)


@needs_operators
def test_gradients_are_torchs_own():
    layer, batch = packed_layer(), torch.randn(5, 48)
    layer(batch).sum().backward()
    torch.testing.assert_close(layer.weight.grad, batch.sum(0).expand(24, 48))


@needs_operators
def test_neither_a_copy_nor_what_is_saved_holds_the_weight_twice():
    layer, batch = packed_layer(), torch.randn(5, 48)
    with torch.inference_mode():
        layer(batch)
    assert layer._packed is not None
    assert list(layer.state_dict()) == ["weight", "bias"]
    other = copy.deepcopy(layer)
    assert other._packed is None
    with torch.inference_mode():
        torch.testing.assert_close(other(batch), layer(batch), rtol=0, atol=0)


def test_where_the_operators_are_missing_or_wrong_torch_multiplies(monkeypatch):
    def missing(*_):
        raise NotImplementedError

    for wrong in (missing, lambda batch, *_: torch.zeros(*batch.shape[:-1], 64)):
        monkeypatch.setattr(torch.ops.mkldnn, "_linear_pointwise", wrong)
        assert type(packed_layer()) is torch.nn.Linear


def test_processors_on_which_it_was_not_measured_are_left_alone(monkeypatch):
    monkeypatch.setattr(onednn.platform, "machine", lambda: "arm64")
    assert type(packed_layer()) is torch.nn.Linear
