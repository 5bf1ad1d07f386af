"""Instructions that the Arm kernels take for a stored token, counted in an emulator, beside the fewest there could be.

    apt-get install qemu-user-static
    python -m benchmarks.arm

qemu-aarch64 runs the exact scan of one window one instruction at a time, and writes down the address of each, so that
the counts are exact and the same in every run. How long instructions take on a processor it does not tell. It writes
results/arm.md.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import llvmlite
import numpy as np

from benchmarks.gpu import revision
from retrievers.kernels import reference
from retrievers.kernels.targets import TARGETS
from tests.kernels import arm, emulator
from tests.kernels.cases import Case, make_case

HERE = Path(__file__).resolve().parent
DIM = 128
MULTIPLY = {
    "smmla": ((0x4E80AC00, 0xFFE0FC00),),
    "sdot": ((0x4E809400, 0xFFE0FC00), (0x4F80E000, 0xFFC0F400)),
}
"""For each target the bits that its multiply instructions have, and which bits these are."""
PRODUCTS = {"smmla": 32, "sdot": 16}
"""Products of one instruction."""


@dataclass(frozen=True)
class Count:
    """Instructions of a scan of one window.

    Attributes:
        all: that ran.
        multiplying: of these, the target's multiply instruction.
        ideal: multiply instructions that the products of all stored and query tokens need.
    """

    all: int
    multiplying: int
    ideal: float


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--queries", type=int, nargs="*", default=[16, 32], help="query tokens")
    parser.add_argument("--windows", type=int, nargs="*", default=[76, 256], help="stored tokens of a window")
    parser.add_argument("--output", type=Path, default=HERE / "results" / "arm.md")
    options = parser.parse_args()
    lines = [*heading(), *table(options.queries, options.windows)]
    print("\n".join(lines))
    options.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


def heading() -> list[str]:
    version = subprocess.run([emulator.qemu(), "--version"], capture_output=True, text=True, check=True)
    return [
        "# Instructions of the Arm kernels",
        "",
        f"`python -m benchmarks.arm`, {time.strftime('%Y-%m-%d')}, revision {revision()}; "
        f"{version.stdout.splitlines()[0]}, llvmlite {llvmlite.__version__}.",
        "",
        f"The exact scan of one window of {DIM} dimensions, compiled for Arm and run in an emulator one instruction at "
        "a time. These are exact counts of instructions; speed on a real processor was not measured. The ideal is "
        f"products over those of one instruction, {PRODUCTS['sdot']} for `sdot` and {PRODUCTS['smmla']} for `usmmla`: "
        "a scan that did nothing but multiply. All else is loading, putting pairs of rows together, scales and "
        "maxima, unpacking of 4 bits, asking memory for what comes next, and the beginning of the call.",
        "",
    ]


def table(queries: Sequence[int], windows: Sequence[int]) -> list[str]:
    lines = [
        "| target | bits | query tokens | window | instructions a stored token | multiply | ideal | all / ideal |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for name in MULTIPLY:
        for bits in (8, 4):
            for tokens in queries:
                for window in windows:
                    found = count(name, bits, tokens, window)
                    each = [value / window for value in (found.all, found.multiplying, found.ideal)]
                    lines.append(
                        f"| {name} | {bits} | {tokens} | {window} | {each[0]:.0f} | {each[1]:.0f} | {each[2]:.0f} | "
                        f"{found.all / found.ideal:.2f} |"
                    )
    return lines


def count(name: str, bits: int, tokens: int, window: int) -> Count:
    """Scan one window by a target, and count.

    Raises:
        AssertionError: the score is not that of numpy.
    """
    case = make_case(seed=0, dim=DIM, lengths=[window], query_lengths=[tokens], bits=bits)
    program, place = arm.scan_program(*case, TARGETS[name], bits)
    with tempfile.TemporaryDirectory() as directory:
        trace = Path(directory) / "trace"
        score = np.frombuffer(emulator.by_qemu(program, trace), np.float32, 1, place)
        np.testing.assert_allclose(score, expected(case, name, bits), rtol=1e-5)
        steps = emulator.steps(trace)
    steps = steps[(steps >= emulator.CODE) & (steps < emulator.CODE + len(program.code))]
    words = np.frombuffer(program.code, np.uint32)
    matches = [(words & mask) == value for value, mask in MULTIPLY[name]]
    multiplies = np.logical_or.reduce(matches)
    return Count(
        len(steps),
        int(multiplies[(steps - emulator.CODE) // 4].sum()),
        DIM * tokens * window / PRODUCTS[name],
    )


def expected(case: Case, name: str, bits: int) -> np.ndarray:
    """The score by numpy: float32, (1,)."""
    rounded = [reference.rounded(query, TARGETS[name].arithmetic.limit, bits) for query in case.queries]
    return reference.maxsim(case.rows, case.scales, case.starts, case.ends, rounded, bits)[0]


if __name__ == "__main__":
    main()
