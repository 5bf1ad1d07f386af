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
from retrievers.kernels.arithmetic import Arithmetic, Avx2, Float, Sdot, Smmla, Vnni

VARIABLE = "RETRIEVERS_KERNEL"


@dataclass(frozen=True)
class Tile:
    """The shape of a block: groups of query tokens by rows, as many sums of products as fit in the registers.

    Attributes:
        groups: groups that a block takes at once.
        rows: numbers of rows that a block may take, falling, the last one 1: a window is cut into such blocks.
    """

    groups: int
    rows: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Target:
    """A kind of processor that kernels are generated for.

    Attributes:
        name: what the environment variable calls it.
        architecture: as LLVM names it; empty for any.
        needs: features of the processor, as LLVM names them.
        cpu: the processor that is compiled for, in LLVM's names; empty for the architecture's baseline.
        features: what is added to that processor.
        arithmetic: the instructions.
        lanes: query tokens in a vector.
        tiles: shapes of the scan's blocks, by falling number of groups; the last one takes a single group.
        final: name of the target whose float32 scores users see, after this one has chosen the best windows.
        matrix_tiles: the same for rows that fill the processor's matrix registers; empty where it has none.
    """

    name: str
    architecture: str
    needs: frozenset[str]
    cpu: str
    features: str
    arithmetic: Arithmetic
    lanes: int
    tiles: tuple[Tile, ...]
    final: str
    matrix_tiles: tuple[Tile, ...] = ()

    @property
    def arm(self) -> bool:
        """Whether it is one of Arm's processors, and not any."""
        return self.architecture == "aarch64"

    @property
    def description(self) -> str:
        """All that settles the code for this target, in the same words in every process: part of the code's key."""
        kind = self.arithmetic
        parts = (
            *(self.name, self.cpu, self.features, self.lanes, self.tiles, self.matrix_tiles),
            *(type(kind).__module__, type(kind).__qualname__, vars(kind), kind.step, kind.limit, kind.offset),
        )
        return repr(parts)


# Beside the query's vectors and the row, 32 registers hold 24 sums, and 16 registers hold 12 at most.
_WIDE = (Tile(2, (12, 8, 4, 2, 1)), Tile(1, (12, 8, 4, 2, 1)))
_NARROW = (Tile(2, (5, 3, 2, 1)), Tile(1, (8, 4, 2, 1)))
_ARM = (Tile(4, (5, 3, 2, 1)), Tile(2, (8, 4, 2, 1)), Tile(1, (8, 4, 2, 1)))
# 16 registers of 2 x 2 sums: two rows at a time, which are put together from more registers.
_PAIRS = (Tile(4, (4, 2, 1)), Tile(2, (4, 2, 1)), Tile(1, (8, 4, 2, 1)))
_SMALL = (Tile(4, (2, 1)), Tile(2, (4, 2, 1)), Tile(1, (8, 4, 2, 1)))
# Four of the eight matrix registers hold sums: four multiplications are begun before the first one has ended.
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
        Target("smmla", "aarch64", frozenset({"i8mm"}), "", "+i8mm", Smmla(), 4, _PAIRS, "portable"),
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
    architecture, features = _processor()
    return tuple(
        target.name
        for target in TARGETS.values()
        if target.architecture in ("", architecture) and target.needs <= features
    )


def tiles_permitted() -> bool:
    """Ask Linux, once for all threads of this process, to let it use matrix instructions."""
    if not sys.platform.startswith("linux"):
        return False
    # arch_prctl(ARCH_REQ_XCOMP_PERM, tile data): from then on Linux saves 8 KB more whenever threads take turns.
    answer: int = ctypes.CDLL(None).syscall(158, 0x1023, 18)
    return answer == 0


def _usable(name: str) -> Target:
    if name not in available_targets():
        raise InvalidInputError(
            f"this processor has no kernel {name!r}; {VARIABLE} may be one of: "
            f"{', '.join(available_targets())}."
        )
    return TARGETS[name]


def _processor() -> tuple[str, frozenset[str]]:
    """LLVM's names of this processor's architecture and features."""
    import llvmlite.binding as llvm

    architecture = llvm.get_process_triple().partition("-")[0]
    try:
        features = {name for name, present in llvm.get_host_cpu_features().items() if present}
    except RuntimeError:  # LLVM cannot ask this system
        features = set()
    if "amx-tile" in features and not tiles_permitted():
        features.remove("amx-tile")
    if architecture == "arm64":  # as Apple calls it
        architecture = "aarch64"
    if architecture == "aarch64" and sys.platform == "darwin":
        features |= {"dotprod"} | _apple_features()  # every Apple processor multiplies by sdot
    if architecture == "aarch64" and sys.platform.startswith("linux"):
        features |= _linux_features()
    return architecture, frozenset(features)


def _apple_features() -> set[str]:
    """What macOS says of an Arm processor: LLVM does not ask it."""
    ask = ctypes.CDLL(None).sysctlbyname
    found, size = ctypes.c_int(0), ctypes.c_size_t(ctypes.sizeof(ctypes.c_int))
    name = b"hw.optional.arm.FEAT_I8MM"
    failed = ask(name, ctypes.byref(found), ctypes.byref(size), None, ctypes.c_size_t(0))
    return {"i8mm"} if not failed and found.value else set()


def _linux_features() -> set[str]:
    """What Linux says of an Arm processor: LLVM looks for neither in /proc/cpuinfo."""
    ask = ctypes.CDLL(None).getauxval
    ask.argtypes, ask.restype = [ctypes.c_ulong], ctypes.c_ulong
    # The first and the second word of features, AT_HWCAP and AT_HWCAP2: HWCAP_ASIMDDP and HWCAP2_I8MM.
    bits = {"dotprod": ask(16) >> 20, "i8mm": ask(26) >> 13}
    return {name for name, bit in bits.items() if bit & 1}
