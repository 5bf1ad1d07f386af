"""The Arm kernels give what numpy gives: a processor in software runs them."""

import numpy as np
import pytest

from retrievers.kernels import centroids, reference, targets
from retrievers.kernels.task import Layout
from tests.kernels import arm, emulator
from tests.kernels.cases import make_case, unit

INSTRUCTIONS = {"smmla": 0x4E80AC00, "sdot": 0x4E809400, "portable": 0xD503201F}
"""An instruction of each target that runs on Arm: usmmla, sdot, nop."""


@pytest.fixture(params=INSTRUCTIONS)
def on_arm(request):
    """A target, and the emulator of a processor that has its instruction."""
    run, reason = emulator.emulator_for(INSTRUCTIONS[request.param])
    if run is None:
        pytest.skip(reason)
    return targets.TARGETS[request.param], run


@pytest.mark.parametrize("dim", [4, 6, 20, 28, 48, 128])
@pytest.mark.parametrize("bits", [8, 4])
def test_an_arm_processor_gives_what_numpy_gives(on_arm, dim, bits):
    target, run = on_arm
    case = make_case(
        seed=dim,
        dim=dim,
        lengths=[0, 1, 2, 3, 5, 7, 11, 40, 0, 23],
        query_lengths=[3, 0, 14, 33, 8],
        bits=bits,
    )
    rounded = [reference.rounded(query, target.arithmetic.limit, bits) for query in case.queries]
    expected = reference.maxsim(case.rows, case.scales, case.starts, case.ends, rounded, bits)
    np.testing.assert_allclose(arm.maxsim(*case, target, bits, run=run), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("row", [1, 255])
def test_an_arm_processor_takes_the_largest_elements(on_arm, row):
    target, run = on_arm
    rows, query = np.full((5, 128), row, np.uint8), np.ones((3, 128), np.float32)
    spans = np.array([0], np.int64), np.array([5], np.int64)
    scores = arm.maxsim(rows, np.ones(5, np.float32), *spans, [query], target, run=run)
    assert scores[0, 0] == pytest.approx(3 * 128 * (row - 128))


@pytest.mark.parametrize("bits", [8, 4])
def test_smmla_and_sdot_agree_to_the_last_bit(bits):
    case = make_case(seed=1, dim=128, lengths=range(1, 40), query_lengths=[14, 33, 5], bits=bits)
    scores = []
    for name in ("smmla", "sdot"):
        run, reason = emulator.emulator_for(INSTRUCTIONS[name])
        if run is None:
            pytest.skip(reason)
        scores.append(arm.maxsim(*case, targets.TARGETS[name], bits, run=run))
    np.testing.assert_array_equal(*scores)


def test_an_emulator_without_the_instruction_says_so():
    run, reason = emulator.emulator_for(0)
    assert run is None
    assert "; " in reason  # one for each emulator


@pytest.fixture
def centroids_on_arm(on_arm, monkeypatch):
    target, run = on_arm
    monkeypatch.setattr(centroids, "chosen_target", lambda: target)
    monkeypatch.setattr(
        centroids, "compiled", lambda target, width: arm.centroid_functions(target, width, run)
    )
    monkeypatch.setattr(Layout, "values", lambda layout, **given: [given[name] for name in layout.fields])
    return target


@pytest.mark.parametrize("dim", [20, 128])
@pytest.mark.usefixtures("centroids_on_arm")
def test_an_arm_processor_finds_the_nearest_centroids(dim):
    case = make_case(seed=dim, dim=dim, lengths=[37], query_lengths=[41])
    prepared = centroids.prepare(case.queries[0])
    found, products = centroids.nearest(case.rows, prepared)
    elements = prepared.rows[: prepared.count].astype(np.int64) - 128
    expected = (case.rows.astype(np.int64) - 128) @ elements.T  # (tokens, centroids)
    assert found.tolist() == expected.argmax(axis=1).tolist()
    np.testing.assert_allclose(products, expected.max(axis=1) * prepared.scale, rtol=1e-5)


@pytest.mark.parametrize("tokens", [3, 17])
@pytest.mark.parametrize("dim", [20, 128])
@pytest.mark.usefixtures("centroids_on_arm")
def test_an_arm_processor_fills_tables(dim, tokens):
    random = np.random.default_rng(dim)
    vectors, query = (unit(random.standard_normal((count, dim))) for count in (41, tokens))
    table = centroids.table(query, centroids.prepare(vectors))
    expected = np.clip(vectors @ query.T, 0, None) * 255
    np.testing.assert_allclose(table[: len(vectors), :tokens], expected, atol=3)
    assert not table[:, tokens:].any()
