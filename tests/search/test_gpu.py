import os
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from retrievers.errors import DeviceMemoryError
from retrievers.kernels.rows import RowForm, quantize
from retrievers.search import exact, gpu, gpu_scan


@pytest.fixture(params=["cpu", "interpreted", "cuda"])
def device(request, monkeypatch):
    """A device; `interpreted` is the processor with the kernel of Triton's, run by its interpreter."""
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("torch finds no CUDA device")
    if request.param != "interpreted":
        return request.param
    if os.environ.get("TRITON_INTERPRET") != "1" or find_spec("triton") is None:
        pytest.skip("needs `pip install triton`, and TRITON_INTERPRET=1 before Python starts")
    monkeypatch.setattr(gpu, "scan", gpu_scan.ByTriton)
    return "cpu"


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
        form=RowForm(dim, bits),
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


@pytest.mark.parametrize("dim", [32, 50, 128])
@pytest.mark.parametrize("bits", [8, 4])
def test_the_device_finds_what_the_processor_finds(device, dim, bits, rng):
    view = make_view(rng, rng.integers(1, 40, 60), dim, gap=3, bits=bits)
    queries = [unit(rng.standard_normal((tokens, dim))) for tokens in (1, 14, 32, 40, 300)]
    assert close(
        gpu.DeviceRows(view, device=device).rank(queries, None, 10), exact.rank(view, queries, None, 10)
    )


def test_blocks_of_rows_do_not_change_the_answer(device, rng, monkeypatch):
    view = make_view(rng, rng.integers(0, 40, 200), 32)
    queries = [unit(rng.standard_normal((7, 32))) for _ in range(5)]
    whole = exact.rank(view, queries, None, 10)
    monkeypatch.setattr(gpu_scan, "BLOCK", 50)
    monkeypatch.setattr(gpu, "SCORES", 500)
    assert close(gpu.DeviceRows(view, device=device).rank(queries, None, 10), whole)


def test_only_selected_windows_are_found_on_the_device(device, rng):
    view = make_view(rng, rng.integers(1, 40, 300), 32)
    queries = [unit(rng.standard_normal((14, 32)))]
    selected = np.arange(1, 300, 7)
    found = gpu.DeviceRows(view, device=device).rank(queries, selected, 50)
    assert close(found, exact.rank(view, queries, selected, 50))
    assert {position for position, _ in found[0]} <= set(selected.tolist())


def test_windows_without_tokens_are_never_found_on_the_device(device, rng):
    view = make_view(rng, [0, 3, 0, 0, 4, 0], 32)
    [ranking] = gpu.DeviceRows(view, device=device).rank([unit(rng.standard_normal((5, 32)))], None, 10)
    assert sorted(position for position, _ in ranking) == [1, 4]


def test_nothing_is_found_on_the_device_where_nothing_is(device, rng):
    query = unit(rng.standard_normal((5, 32)))
    assert gpu.DeviceRows(make_view(rng, [], 32), device=device).rank([query], None, 10) == [[]]
    some = gpu.DeviceRows(make_view(rng, [3, 4], 32), device=device)
    assert some.rank([query], np.zeros(0, np.int64), 10) == [[]]


def test_rows_that_do_not_fit_are_refused_with_what_they_need(device, rng):
    view = make_view(rng, [100] * 10, 32)
    with pytest.raises(
        DeviceMemoryError, match=r"1000 token rows need 36\.0 kB on .*; 30\.0 kB may be used"
    ) as raised:
        gpu.DeviceRows(view, device=device, memory_limit=30_000)
    assert "Raise device_memory" in str(raised.value)


def test_rows_of_4_bits_take_half_the_bytes_of_the_device(device, rng):
    small = gpu.DeviceRows(make_view(rng, [100] * 10, 128, bits=4), device=device)
    assert small.scan.resident.rows.shape == (1000, 64)
    with pytest.raises(DeviceMemoryError, match=r"1000 token rows need 68\.0 kB"):
        gpu.DeviceRows(make_view(rng, [100] * 10, 128, bits=4), device=device, memory_limit=60_000)


def test_rows_of_a_commit_are_copied_once_and_make_room_for_the_next(device, rng):
    view, query = make_view(rng, [3] * 20, 32), unit(rng.standard_normal((5, 32)))
    first = gpu.rank(view, [query], None, 3, device=device)
    resident = gpu._resident(view, device, None)
    assert gpu._resident(view, device, None) is resident
    assert close(first, exact.rank(view, [query], None, 3))
    other = make_view(rng, [4] * 20, 32)
    assert close(gpu.rank(other, [query], None, 3, device=device), exact.rank(other, [query], None, 3))
    assert gpu._resident(view, device, None) is not resident


@pytest.mark.parametrize("place", ["scan", "numbers"])
def test_a_device_that_is_full_is_named_wherever_it_is_met(rng, monkeypatch, place):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(gpu, place, full)
    with pytest.raises(DeviceMemoryError, match="cpu ran out of memory for 20 token rows"):
        gpu.DeviceRows(make_view(rng, [10, 10], 32), device="cpu")
