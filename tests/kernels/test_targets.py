"""The choice of a target, and the instructions that each one is made of."""

import re
import sys
from functools import partial
from types import SimpleNamespace

import llvmlite.binding as llvm
import pytest

from retrievers.errors import InvalidInputError
from retrievers.kernels import compile, scan, targets

SERVER = "x86_64", frozenset(targets.TARGETS["avx512vnni"].needs | targets.TARGETS["avxvnni"].needs)


@pytest.fixture
def processor(monkeypatch):
    """Pretend to be another processor."""

    def become(architecture, *features):
        monkeypatch.setattr(targets, "_processor", lambda: (architecture, frozenset(features)))
        targets.available_targets.cache_clear()

    yield become
    monkeypatch.undo()
    targets.available_targets.cache_clear()


@pytest.mark.parametrize(
    ("architecture", "features", "fastest"),
    [
        (*SERVER, "avx512vnni"),
        ("x86_64", SERVER[1] | {"amx-tile", "amx-int8"}, "amx"),
        ("x86_64", SERVER[1] | {"amx-int8"}, "avx512vnni"),
        ("x86_64", {"avx2", "fma", "avxvnni"}, "avxvnni"),
        ("x86_64", {"avx2", "fma"}, "avx2"),
        ("x86_64", {"avx2", "fma", "avx512f", "avx512bw", "avx512dq", "avx512vl"}, "avx2"),
        ("x86_64", {"sse4.2"}, "portable"),
        ("aarch64", {"neon", "dotprod", "i8mm"}, "smmla"),
        ("aarch64", {"neon", "dotprod"}, "sdot"),
        ("aarch64", {"neon"}, "portable"),
        ("ppc64le", set(), "portable"),
    ],
)
def test_each_processor_gets_its_fastest_target(processor, architecture, features, fastest, monkeypatch):
    monkeypatch.delenv(targets.VARIABLE, raising=False)
    processor(architecture, *features)
    assert targets.chosen_target().name == fastest


@pytest.mark.parametrize("name", targets.TARGETS)
def test_what_users_see_is_scored_in_float32_by_a_target_for_the_same_processor(name):
    target = targets.TARGETS[name]
    final = targets.TARGETS[target.final]
    assert final.arithmetic.limit == 0
    assert final.needs <= target.needs
    assert final.final == final.name


def test_the_environment_variable_overrides_the_choice(monkeypatch):
    monkeypatch.setenv(targets.VARIABLE, "portable")
    assert targets.chosen_target().name == "portable"


def test_force_target_holds_within_its_block_and_beats_the_environment(monkeypatch):
    monkeypatch.setenv(targets.VARIABLE, targets.available_targets()[0])
    with targets.force_target("portable") as target:
        assert targets.chosen_target() is target
        assert target.name == "portable"
    assert targets.chosen_target().name == targets.available_targets()[0]


def test_an_unknown_target_is_refused_with_those_that_there_are(monkeypatch):
    monkeypatch.setenv(targets.VARIABLE, "avx9000")
    with pytest.raises(InvalidInputError, match=r"'avx9000'; RETRIEVERS_KERNEL may be one of: .*portable"):
        targets.chosen_target()


def test_a_target_that_this_processor_lacks_is_refused(processor):
    processor("x86_64", "avx2", "fma")
    with pytest.raises(InvalidInputError, match="'sdot'"), targets.force_target("sdot"):
        pass


def assembly(name, triple):
    """The assembler of a target's scan."""
    target = targets.TARGETS[name]
    return compile.assembler(partial(scan.module, target, 128), target, triple)


@pytest.mark.parametrize("triple", ["aarch64-unknown-linux-gnu", "arm64-apple-darwin"])
def test_arm_multiplies_by_a_lane_with_sdot(triple):
    text = assembly("sdot", triple)
    inner = [line for line in text.splitlines() if "sdot" in line]
    assert len(inner) > 100
    by_lane = ".4b[" if "linux" in triple else "["
    assert sum(by_lane in line for line in inner) > 0.9 * len(inner)  # no instruction spreads the row's bytes


def test_arm_without_dot_products_has_no_sdot():
    assert "sdot" not in assembly("portable", "aarch64-unknown-linux-gnu")


@pytest.mark.parametrize(
    ("name", "instruction", "register"),
    [
        ("avx512vnni", "vpdpbusd", "%zmm"),
        ("avxvnni", "{vex}\tvpdpbusd", "%ymm"),
        ("avx2", "vpmaddubsw", "%ymm"),
        ("avx512float", "vfmadd231ps", "%zmm"),
        ("avx2float", "vfmadd231ps", "%ymm"),
        ("portable", "mulps", "%xmm"),
    ],
)
def test_x86_uses_the_instruction_that_the_target_is_named_after(name, instruction, register):
    lines = assembly(name, "x86_64-unknown-linux-gnu").splitlines()
    assert sum(instruction in line and register in line for line in lines) > 50
    widest = {"%zmm": (), "%ymm": ("%zmm",), "%xmm": ("%zmm", "%ymm")}[register]
    assert not any(wider in line for line in lines for wider in widest)


def test_matrix_instructions_are_used_where_blocks_are_large_enough():
    text = assembly("amx", "x86_64-unknown-linux-gnu")
    assert text.count("tdpbusd") > 20
    assert text.count("vpdpbusd") > 100  # for the rows that are left


def test_matrix_instructions_wait_for_the_systems_permission(monkeypatch):
    monkeypatch.setattr(llvm, "get_process_triple", lambda: "x86_64-unknown-linux-gnu")
    monkeypatch.setattr(llvm, "get_host_cpu_features", lambda: {"amx-tile": True, "amx-int8": True})
    monkeypatch.setattr(targets, "tiles_permitted", lambda: False)
    assert targets._processor() == ("x86_64", {"amx-int8"})
    monkeypatch.setattr(targets, "tiles_permitted", lambda: True)
    assert targets._processor() == ("x86_64", {"amx-tile", "amx-int8"})


@pytest.fixture
def llvm_on_arm(monkeypatch):
    """Pretend that LLVM runs on an Arm processor, of which it does not know whether it has dot products."""

    def runs(system):
        monkeypatch.setattr(llvm, "get_process_triple", lambda: "aarch64-unknown-linux-gnu")
        monkeypatch.setattr(llvm, "get_host_cpu_features", lambda: {"neon": True})
        monkeypatch.setattr(targets.ctypes, "CDLL", lambda name: system)

    return runs


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux is asked")
@pytest.mark.parametrize(
    ("first", "second", "features"),
    [(1 << 20, 1 << 13, {"dotprod", "i8mm"}), (1 << 20, 0, {"dotprod"}), (~(1 << 20), ~(1 << 13), set())],
)
def test_linux_says_which_dot_products_an_arm_processor_has(llvm_on_arm, first, second, features):
    llvm_on_arm(SimpleNamespace(getauxval=lambda word: {16: first, 26: second}[word]))
    assert targets._processor() == ("aarch64", {"neon"} | features)


@pytest.mark.parametrize("triple", ["aarch64-unknown-linux-gnu", "arm64-apple-darwin"])
def test_arm_multiplies_pairs_with_smmla(triple):
    assert assembly("smmla", triple).count("usmmla") > 500


@pytest.mark.parametrize("name", ["smmla", "sdot"])
def test_an_arm_loop_over_products_leaves_its_sums_in_registers(name):
    text = assembly(name, "aarch64-unknown-linux-gnu")
    parts = re.findall(r"^(\.L\w+):(.*?)(?=^\.L)", text, re.DOTALL | re.MULTILINE)
    loops = [body.split(label)[0] for label, body in parts if label in body]
    loops = [loop for loop in loops if loop.count("mla\t" if name == "smmla" else "sdot\t") > 10]
    assert loops
    assert not any("[sp" in loop for loop in loops)


def test_this_architecture_is_known():
    assert llvm.get_process_triple().partition("-")[0] in ("x86_64", "aarch64", "arm64", "ppc64le")
    assert "portable" in targets.available_targets()
