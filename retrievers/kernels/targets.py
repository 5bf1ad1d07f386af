"""The targets that kernels are generated for, one for each kind of processor, and the choice between them."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache

from retrievers.errors import InvalidInputError
from retrievers.kernels.arithmetic import Arithmetic, Avx2, Float, Sdot, Vnni

VARIABLE = "RETRIEVERS_KERNEL"


@dataclass(frozen=True)
class Tile:
    """Groups that a block takes at once, and how many rows: as many sums as fit in the registers."""

    groups: int
    rows: tuple[int, ...]  # sizes of blocks, largest first, 1 last


@dataclass(frozen=True, eq=False)
class Target:
    """A kind of processor that kernels are generated for.

    Attributes:
        name: what the environment variable calls it.
        machine: the architecture as LLVM names its target; empty for any.
        needs: features of the processor, as LLVM names them.
        cpu: the processor that is compiled for, in LLVM's names; empty for the architecture's baseline.
        features: what is added to that processor.
        arithmetic: the instructions.
        lanes: query tokens in a vector.
        tiles: shapes of the scan's blocks, by falling number of groups; the last one takes a single group.
        final: name of the float32 target that gives the scores which users see.
        matrix_tiles: the same for rows that fill the processor's matrix registers; empty where it has none.
    """

    name: str
    machine: str
    needs: frozenset[str]
    cpu: str
    features: str
    arithmetic: Arithmetic
    lanes: int
    tiles: tuple[Tile, ...]
    final: str
    matrix_tiles: tuple[Tile, ...] = ()

    @property
    def description(self) -> str:
        """All that settles the code for this target, the same in every process: part of the key of kept code."""
        kind = self.arithmetic
        parts = (
            *(self.name, self.cpu, self.features, self.lanes, self.tiles, self.matrix_tiles),
            *(type(kind).__name__, vars(kind), kind.step, kind.limit, kind.offset),
        )
        return repr(parts)


# 32 registers hold 24 sums beside the queries of a tile and the row; 16 registers hold 12 at most.
_WIDE = (Tile(2, (12, 8, 4, 2, 1)), Tile(1, (12, 8, 4, 2, 1)))
_NARROW = (Tile(2, (5, 3, 2, 1)), Tile(1, (8, 4, 2, 1)))
_ARM = (Tile(4, (5, 3, 2, 1)), Tile(2, (8, 4, 2, 1)), Tile(1, (8, 4, 2, 1)))
_SMALL = (Tile(4, (2, 1)), Tile(2, (4, 2, 1)), Tile(1, (8, 4, 2, 1)))
# Four matrix registers of sums, as an instruction starts four times until one has ended; eight there are.
_MATRIX = (Tile(2, (32, 16, 8, 4, 2, 1)), Tile(1, (64, 32, 16, 8, 4, 2, 1)))
_AVX512 = frozenset({"avx512f", "avx512bw", "avx512dq", "avx512vl", "fma"})
_AVX2 = frozenset({"avx2", "fma"})
_VNNI512, _VNNI256 = (Vnni(f"llvm.x86.avx512.vpdpbusd.{bits}") for bits in (512, 256))

TARGETS = {
    target.name: target
    for target in (
        Target(
            "amx",
            "x86_64",
            _AVX512 | {"avx512vnni", "amx-tile", "amx-int8"},
            "skylake-avx512",
            "+avx512vnni,+amx-tile,+amx-int8",
            _VNNI512,
            16,
            _WIDE,
            "avx512float",
            _MATRIX,
        ),
        Target(
            "avx512vnni",
            "x86_64",
            _AVX512 | {"avx512vnni"},
            "skylake-avx512",
            "+avx512vnni",
            _VNNI512,
            16,
            _WIDE,
            "avx512float",
        ),
        Target(
            "avxvnni", "x86_64", _AVX2 | {"avxvnni"}, "haswell", "+avxvnni", _VNNI256, 8, _NARROW, "avx2float"
        ),
        Target("avx2", "x86_64", _AVX2, "haswell", "", Avx2(), 8, _NARROW, "avx2float"),
        Target("sdot", "aarch64", frozenset({"dotprod"}), "", "+dotprod", Sdot(), 4, _ARM, "portable"),
        Target("avx512float", "x86_64", _AVX512, "skylake-avx512", "", Float(), 16, _WIDE, "avx512float"),
        Target("avx2float", "x86_64", _AVX2, "haswell", "", Float(), 8, _NARROW, "avx2float"),
        Target("portable", "", frozenset(), "", "", Float(), 4, _SMALL, "portable"),
    )
}
"""Every target, the fastest first."""

_forced: ContextVar[str | None] = ContextVar("forced", default=None)


@contextmanager
def force_target(name: str) -> Iterator[Target]:
    """Scan by one target within the block, in this thread.

    Raises:
        InvalidInputError: there is no such target, or this processor cannot run it.
    """
    target = _usable(name)
    token = _forced.set(name)
    try:
        yield target
    finally:
        _forced.reset(token)


def chosen_target() -> Target:
    """The target to scan by: force_target's, else the environment variable RETRIEVERS_KERNEL, else the fastest.

    Raises:
        InvalidInputError: the variable names no target, or one that this processor cannot run.
    """
    name = _forced.get() or os.environ.get(VARIABLE)
    return _usable(name) if name else TARGETS[available_targets()[0]]


@cache
def available_targets() -> tuple[str, ...]:
    """Names of the targets that this processor can run, the fastest first."""
    machine, features = _processor()
    return tuple(
        target.name
        for target in TARGETS.values()
        if target.machine in ("", machine) and target.needs <= features
    )


def tiles_permitted() -> bool:
    """Ask Linux, once for all threads of this process, to let it use matrix instructions."""
    if not sys.platform.startswith("linux"):
        return False
    # arch_prctl(ARCH_REQ_XCOMP_PERM, tile data): from then on 8 KB more are saved where threads take turns.
    return ctypes.CDLL(None).syscall(158, 0x1023, 18) == 0


def _usable(name: str) -> Target:
    if name not in available_targets():
        raise InvalidInputError(
            f"this processor has no kernel {name!r}; {VARIABLE} may be one of: "
            f"{', '.join(available_targets())}."
        )
    return TARGETS[name]


def _processor() -> tuple[str, frozenset[str]]:
    """LLVM's names of this machine's architecture and of the features that its processor has."""
    import llvmlite.binding as llvm

    machine = llvm.get_process_triple().partition("-")[0]
    try:
        features = {name for name, present in llvm.get_host_cpu_features().items() if present}
    except RuntimeError:  # LLVM cannot ask this system
        features = set()
    if "amx-tile" in features and not tiles_permitted():
        features.remove("amx-tile")
    if machine == "arm64":  # as Apple calls it
        machine = "aarch64"
    if machine == "aarch64" and sys.platform == "darwin":
        features.add("dotprod")  # every Apple processor has it; LLVM does not ask macOS
    return machine, frozenset(features)
