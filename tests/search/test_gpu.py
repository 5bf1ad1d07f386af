from types import SimpleNamespace

import numpy as np
import pytest
import torch

from retrievers.errors import DeviceMemoryError
from retrievers.kernels.rows import quantize
from retrievers.search import exact, gpu

DEVICES = [
    "cpu",
    pytest.param(
        "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device")
    ),
]


def unit(matrix):
    return (matrix / np.linalg.norm(matrix, axis=1, keepdims=True)).astype(np.float32)


def make_view(rng, lengths, dim, gap=0, bits=8):
    """Windows of the given lengths, with `gap` dead rows before each, every second document of two windows."""
    lengths = np.array(lengths, np.int64)
    ends = np.cumsum(lengths + gap)
    matrix = unit(rng.standard_normal((int(ends[-1]) if len(ends) else 0, dim)))
    rows, scales = quantize(matrix, bits)
    numbers = np.arange(len(lengths), dtype=np.int64)
    return SimpleNamespace(
        dim=dim,
        bits=bits,
        rows=rows,
        scales=scales,
        starts=ends - lengths,
        ends=ends,
        documents=numbers - (numbers % 3 == 1),
    )


def close(found, expected):
    """Same documents' windows in the same order, scores equal within float32 rounding."""
    return [[position for position, _ in line] for line in found] == [
        [position for position, _ in line] for line in expected
    ] and all(
        np.allclose([score for _, score in a], [score for _, score in b], atol=1e-4)
        for a, b in zip(found, expected, strict=True)
    )


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dim", [32, 50, 128])
@pytest.mark.parametrize("bits", [8, 4])
def test_the_device_finds_what_the_processor_finds(device, dim, bits, rng):
    view = make_view(rng, rng.integers(1, 40, 300), dim, gap=3, bits=bits)
    queries = [unit(rng.standard_normal((tokens, dim))) for tokens in (1, 14, 32, 40, 300)]
    assert close(
        gpu.DeviceRows(view, device=device).rank(queries, None, 10), exact.rank(view, queries, None, 10)
    )


@pytest.mark.parametrize("device", DEVICES)
def test_blocks_of_rows_do_not_change_the_answer(device, rng, monkeypatch):
    view = make_view(rng, rng.integers(0, 40, 200), 32)
    queries = [unit(rng.standard_normal((7, 32))) for _ in range(5)]
    whole = gpu.DeviceRows(view, device=device).rank(queries, None, 10)
    monkeypatch.setattr(gpu, "BLOCK", 50)
    monkeypatch.setattr(gpu, "QUERY_TOKENS", 10)
    assert close(gpu.DeviceRows(view, device=device).rank(queries, None, 10), whole)


@pytest.mark.parametrize("device", DEVICES)
def test_only_selected_windows_are_found_on_the_device(device, rng):
    view = make_view(rng, rng.integers(1, 40, 300), 32)
    queries = [unit(rng.standard_normal((14, 32)))]
    selected = np.arange(1, 300, 7)
    found = gpu.DeviceRows(view, device=device).rank(queries, selected, 50)
    assert close(found, exact.rank(view, queries, selected, 50))
    assert {position for position, _ in found[0]} <= set(selected.tolist())


@pytest.mark.parametrize("device", DEVICES)
def test_windows_without_tokens_are_never_found_on_the_device(device, rng):
    view = make_view(rng, [0, 3, 0, 0, 4, 0], 32)
    [ranking] = gpu.DeviceRows(view, device=device).rank([unit(rng.standard_normal((5, 32)))], None, 10)
    assert sorted(position for position, _ in ranking) == [1, 4]


@pytest.mark.parametrize("device", DEVICES)
def test_nothing_is_found_on_the_device_where_nothing_is(device, rng):
    query = unit(rng.standard_normal((5, 32)))
    assert gpu.DeviceRows(make_view(rng, [], 32), device=device).rank([query], None, 10) == [[]]
    some = gpu.DeviceRows(make_view(rng, [3, 4], 32), device=device)
    assert some.rank([query], np.zeros(0, np.int64), 10) == [[]]


@pytest.mark.parametrize("device", DEVICES)
def test_rows_that_do_not_fit_are_refused_with_what_they_need(device, rng):
    view = make_view(rng, [100] * 10, 32)
    with pytest.raises(
        DeviceMemoryError, match=r"1000 token rows need 36\.0 kB on .*; 30\.0 kB may be used"
    ) as raised:
        gpu.DeviceRows(view, device=device, memory_limit=30_000)
    assert "Raise memory_limit" in str(raised.value)


@pytest.mark.parametrize("device", DEVICES)
def test_rows_of_4_bits_take_half_the_bytes_of_the_device(device, rng):
    small = gpu.DeviceRows(make_view(rng, [100] * 10, 32, bits=4), device=device)
    assert small.rows.shape == (1000, 16)
    with pytest.raises(DeviceMemoryError, match=r"1000 token rows need 20\.0 kB"):
        gpu.DeviceRows(make_view(rng, [100] * 10, 32, bits=4), device=device, memory_limit=15_000)


@pytest.mark.parametrize("device", DEVICES)
def test_rows_of_a_commit_are_copied_once_and_make_room_for_the_next(device, rng):
    view, query = make_view(rng, [3] * 20, 32), unit(rng.standard_normal((5, 32)))
    first = gpu.rank(view, [query], None, 3, device=device)
    resident = gpu._resident(view, device, None)
    assert gpu._resident(view, device, None) is resident
    assert close(first, exact.rank(view, [query], None, 3))
    other = make_view(rng, [4] * 20, 32)
    assert close(gpu.rank(other, [query], None, 3, device=device), exact.rank(other, [query], None, 3))
    assert gpu._resident(view, device, None) is not resident
