import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from retrievers.errors import InvalidInputError, ShapeError
from retrievers.kernels import centroid_scan, compile, nibbles, targets
from retrievers.kernels import centroids as kernel
from retrievers.kernels import codes as code_kernel
from retrievers.kernels.rows import dequantize, in_8_bits, quantize
from retrievers.search import centroids


def unit(matrix):
    return (matrix / np.linalg.norm(matrix, axis=1, keepdims=True)).astype(np.float32)


def random_rows(rng, tokens, dim):
    return quantize(unit(rng.standard_normal((tokens, dim))))


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    dim=st.sampled_from([4, 48, 50, 64, 128, 384]),
    tokens=st.integers(0, 300),
    count=st.integers(1, 90),
)
@pytest.mark.parametrize("target", targets.available_targets())
def test_nearest_is_the_argmax_of_integer_products(target, seed, dim, tokens, count):
    rng = np.random.default_rng(seed)
    rows, _ = random_rows(rng, tokens, dim)
    prepared = kernel.prepare(unit(rng.standard_normal((count, dim))))
    with targets.force_target(target):
        found, products = kernel.nearest(rows, prepared)
    elements = rows.astype(np.int64) - 128
    if target == "avx2":  # halved, as its multiply would saturate
        elements = np.rint(elements / 2).astype(np.int64)
    expected = elements @ (prepared.rows[:count].astype(np.int64) - 128).T  # (tokens, count)
    assert found.tolist() == expected.argmax(axis=1).tolist()
    factor = 2 if target == "avx2" else 1
    np.testing.assert_allclose(products, expected.max(axis=1) * prepared.scale * factor, rtol=1e-5, atol=1e-5)


@settings(max_examples=20, deadline=None)
@example(seed=49196, dim=4, tokens=1, count=67)
@given(
    seed=st.integers(0, 2**32 - 1),
    dim=st.sampled_from([4, 48, 50, 128, 384]),
    tokens=st.integers(1, 32),
    count=st.integers(1, 90),
)
@pytest.mark.parametrize("target", targets.available_targets())
def test_the_table_has_each_similarity_as_a_byte(target, seed, dim, tokens, count):
    rng = np.random.default_rng(seed)
    vectors, query = unit(rng.standard_normal((count, dim))), unit(rng.standard_normal((tokens, dim)))
    with targets.force_target(target):
        table = kernel.table(query, kernel.prepare(vectors))
    assert table.shape[1] == (16 if tokens <= 16 else 32)
    assert not table[:, tokens:].any()
    expected = (vectors @ query.T).clip(0, 1) * 255  # (count, tokens)
    # Elements of both are off by half a step at most, times those of the other, which add up to 2 in four dimensions.
    # Where there are more, steps are small and errors cancel.
    steps = np.abs(vectors).max() / 127 + np.abs(query).max() / (63 if target == "avx2" else 127)
    assert np.abs(table[:count, :tokens] - expected).max() <= (255 * steps + 1 if dim == 4 else 4)


def test_the_table_of_a_long_query_vector_does_not_overflow():
    vectors = unit(np.eye(4))
    table = kernel.table(np.float32([[3, 0, 0, 0], [0, 1.5, 0, 0], [0, -3, 0, 0]]), kernel.prepare(vectors))
    assert table[:4, :3].tolist() == [[255, 0, 0], [0, 128, 0], [0, 0, 0], [0, 0, 0]]


def test_a_product_that_rounding_lifts_above_the_longest_stays_a_byte():
    vectors = unit(np.random.default_rng(0).standard_normal((3000, 4)))
    prepared = kernel.prepare(vectors)
    itself = [kernel.table(vectors[n : n + 1], prepared)[n, 0] for n in range(0, 3000, 30)]
    assert min(itself) >= 250


def test_arm_multiplies_and_takes_maxima_by_vector_instructions():
    target, triple = targets.TARGETS["sdot"], "aarch64-unknown-linux-gnu"
    machine = compile.target_machine(target, triple)
    products = centroid_scan.module(target, 128, triple)
    assert "sdot" in machine.emit_assembly(compile.optimised(products, machine))
    assert "umax\tv" in machine.emit_assembly(compile.optimised(code_kernel.module(triple), machine))


def test_training_is_the_same_for_the_same_seed_only():
    rows, scales = random_rows(np.random.default_rng(0), 3000, 32)
    first, again, other = (centroids.train(rows, scales, 32, n_centroids=64, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("bits", [8, 4])
def test_training_finds_separate_clusters(bits):
    rng = np.random.default_rng(0)
    centres = np.repeat(np.eye(8, 16), 200, axis=0)  # 200 tokens around each of 8 axes
    rows, scales = quantize(unit(centres + 0.05 * rng.standard_normal(centres.shape)), bits)
    found = centroids.train(rows, scales, 16, n_centroids=24, bits=bits)
    codes = centroids.assign(rows, scales, found, bits)
    owners = [set(codes[cluster * 200 : cluster * 200 + 200].tolist()) for cluster in range(8)]
    assert sum(map(len, owners)) == len(set.union(*owners))  # no centroid serves two clusters
    assert np.linalg.norm(found, axis=1) == pytest.approx(np.ones(24), abs=1e-5)


@pytest.mark.parametrize("bits", [8, 4])
def test_training_serves_rows_better_than_rows_picked_at_random(bits):
    rng = np.random.default_rng(0)
    topics = unit(rng.standard_normal((300, 24)))
    vectors = unit(topics[rng.integers(0, 300, 6000)] + 0.1 * rng.standard_normal((6000, 24)))
    rows, scales = quantize(vectors, bits)
    vectors = dequantize(rows, scales, 24, bits)
    trained = centroids.train(rows, scales, 24, n_centroids=128, sample=4000, bits=bits)
    picked = unit(vectors[rng.choice(6000, 128, replace=False)])
    trained_similarity, picked_similarity = (
        np.take_along_axis(
            vectors @ found.T, centroids.assign(rows, scales, found, bits)[:, None].astype(int), 1
        ).mean()
        for found in (trained, picked)
    )
    assert trained_similarity > picked_similarity + 0.05


def test_rows_of_4_bits_are_trained_on_as_their_8_bits_are_turned():
    rows, scales = quantize(unit(np.random.default_rng(0).standard_normal((2000, 24))), 4)
    in_8 = in_8_bits(rows, scales, 4)
    np.testing.assert_allclose(
        dequantize(*in_8, 24), nibbles.turned(dequantize(rows, scales, 24, 4)), atol=1e-6
    )
    found = centroids.train(rows, scales, 24, n_centroids=64, bits=4)
    turned = centroids.train(*in_8, 24, n_centroids=64)
    np.testing.assert_allclose(nibbles.turned(found), turned, atol=1e-6)
    assert np.array_equal(
        centroids.assign(rows, scales, found, 4), centroids.assign(*in_8, nibbles.turned(found))
    )


def test_every_centroid_gets_rows():
    rng = np.random.default_rng(0)
    few = np.repeat(unit(rng.standard_normal((40, 16))), 100, axis=0)  # 40 different rows, 100 of each
    rows, scales = quantize(few)
    found = centroids.train(rows, scales, 16, n_centroids=40)
    assert len(set(centroids.assign(rows, scales, found).tolist())) > 35


def test_fewer_tokens_than_centroids_give_one_each():
    rows, scales = random_rows(np.random.default_rng(0), 5, 32)
    found = centroids.train(rows, scales, 32, n_centroids=100)
    assert found.shape == (5, 32)
    assert sorted(centroids.assign(rows, scales, found).tolist()) == [0, 1, 2, 3, 4]


def test_no_tokens_give_no_centroids():
    found = centroids.train(np.zeros((0, 32), np.uint8), np.zeros(0, np.float32), 32)
    assert found.shape == (0, 32)


def test_codes_reach_the_last_of_65536_centroids():
    vectors = unit(np.random.default_rng(0).standard_normal((65_536, 16)))
    wanted = np.array([0, 32_767, 32_768, 65_534, 65_535])
    codes = centroids.assign(*quantize(vectors[wanted]), vectors)
    assert codes.dtype == np.uint16
    assert codes.tolist() == wanted.tolist()


@pytest.mark.parametrize("count", [0, 65_537, -1])
def test_a_number_of_centroids_that_16_bits_cannot_tell_is_refused(count):
    rows, scales = random_rows(np.random.default_rng(0), 10, 8)
    with pytest.raises(InvalidInputError, match=f"n_centroids is {count}"):
        centroids.train(rows, scales, 8, n_centroids=count)


def test_assigning_to_no_centroids_is_refused():
    rows, scales = random_rows(np.random.default_rng(0), 10, 8)
    with pytest.raises(InvalidInputError, match="there are 0 centroids"):
        centroids.assign(rows, scales, np.zeros((0, 8), np.float32))


def test_rows_of_another_width_are_refused():
    rows, scales = random_rows(np.random.default_rng(0), 10, 8)
    with pytest.raises(ShapeError, match="vectors of 16 numbers"):
        centroids.train(rows, scales, 16)


@pytest.mark.parametrize(
    ("tokens", "count"), [(0, 256), (10_000, 2048), (100_000, 4096), (3_000_000, 16_384)]
)
def test_the_number_of_centroids_follows_the_number_of_tokens(tokens, count):
    assert centroids.default_count(tokens) == count


def test_rows_of_windows_come_in_the_order_of_the_file():
    starts, ends = np.array([5, 9, 0, 3]), np.array([7, 9, 2, 4])
    assert centroids._rows_of(starts, ends, np.arange(5)).tolist() == [0, 1, 3, 5, 6]
    assert centroids._rows_of(starts, ends, np.array([1, 2])).tolist() == [0, 6]
