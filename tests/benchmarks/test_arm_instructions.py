"""The Arm kernels run few instructions besides their multiplications: counted in an emulator."""

import pytest

from benchmarks import arm
from tests.kernels import emulator


@pytest.fixture(autouse=True)
def an_emulator_that_counts():
    try:
        emulator.qemu()
    except emulator.Missing as error:
        pytest.skip(str(error))


@pytest.mark.parametrize(("name", "most"), [("sdot", 1.6), ("smmla", 2.2)])
def test_a_scan_takes_few_instructions_besides_the_multiplications(name, most):
    count = arm.count(name, 8, 32, 76)
    assert count.multiplying == pytest.approx(count.ideal, rel=0.01)
    assert count.all < most * count.ideal


@pytest.mark.parametrize("bits", [8, 4])
def test_pairs_of_rows_take_a_third_fewer_instructions_than_single_ones(bits):
    pairs, single = (arm.count(name, bits, 32, 40).all for name in ("smmla", "sdot"))
    assert pairs < 0.75 * single


def test_a_table_has_a_line_for_each_target_width_and_length():
    lines = arm.table([5], [8, 12])
    assert len(lines) == 2 + 2 * 2 * 2
    assert lines[2].startswith("| smmla | 8 | 5 | 8 |")
