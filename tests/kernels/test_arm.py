"""The Arm kernels give what numpy gives: a processor in software runs them."""

import numpy as np
import pytest

from retrievers.kernels import reference, targets
from tests.kernels.cases import make_case

pytest.importorskip("unicorn", reason="an Arm processor is emulated by pip install unicorn")


@pytest.mark.parametrize("name", ["sdot", "portable"])
@pytest.mark.parametrize(("dim", "bits"), [(6, 8), (20, 8), (48, 8), (128, 8), (20, 4), (128, 4)])
def test_an_arm_processor_gives_what_numpy_gives(name, dim, bits):
    from tests.kernels import arm

    case = make_case(
        seed=dim, dim=dim, lengths=[0, 1, 2, 3, 5, 7, 11, 40, 0, 23], query_lengths=[3, 0, 14, 33], bits=bits
    )
    target = targets.TARGETS[name]
    rounded = [reference.rounded(query, target.arithmetic.limit, bits) for query in case.queries]
    expected = reference.maxsim(case.rows, case.scales, case.starts, case.ends, rounded, bits)
    np.testing.assert_allclose(arm.maxsim(*case, target, bits), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("row", [1, 255])
def test_an_arm_processor_takes_the_largest_elements(row):
    from tests.kernels import arm

    rows, query = np.full((5, 128), row, np.uint8), np.ones((3, 128), np.float32)
    spans = np.array([0], np.int64), np.array([5], np.int64)
    scores = arm.maxsim(rows, np.ones(5, np.float32), *spans, [query], targets.TARGETS["sdot"])
    assert scores[0, 0] == pytest.approx(3 * 128 * (row - 128))
