"""Machine code is kept on disk, and nothing that happens to the disk is an error."""

import dataclasses
import os
import subprocess
import sys

import numpy as np
import pytest

from retrievers.kernels import code_cache, compile, reference, rows, scan, targets
from retrievers.kernels.maxsim import maxsim
from tests.kernels.cases import make_case

TARGET = targets.TARGETS["portable"]
OPTIMISED = compile.optimised
CASE = make_case(seed=0, dim=20, lengths=[5, 0, 17], query_lengths=[4])


@pytest.fixture
def directory(tmp_path, monkeypatch, unbuilt):
    monkeypatch.setenv(code_cache.VARIABLE, str(tmp_path / "code"))
    return tmp_path / "code"


@pytest.fixture
def came_from_disk(monkeypatch):
    """Scan as a new process would, and tell whether the code came from disk; the scores are right anyway."""

    def scan():
        compiled = []
        monkeypatch.setattr(compile, "_loaded", {})
        monkeypatch.setattr(compile, "optimised", lambda *given: compiled.append(1) or OPTIMISED(*given))
        np.testing.assert_allclose(maxsim(*CASE, TARGET), reference.maxsim(*CASE), rtol=1e-5)
        return not compiled

    return scan


def test_the_second_process_finds_the_code_of_the_first(directory, came_from_disk):
    assert not came_from_disk()
    [file] = directory.iterdir()
    assert came_from_disk()
    assert [file] == list(directory.iterdir())


def test_code_is_kept_for_each_width_and_target(directory):
    for dim in (16, 20):
        maxsim(*make_case(seed=0, dim=dim, lengths=[5], query_lengths=[4]), TARGET)
    maxsim(*CASE, targets.chosen_target())
    assert len(list(directory.iterdir())) == (2 if targets.chosen_target() is TARGET else 3)


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "foreign"])
def test_damaged_code_is_compiled_anew(directory, came_from_disk, damage):
    came_from_disk()
    [file] = directory.iterdir()
    sound = file.read_bytes()
    flipped = bytes([sound[0], sound[1] ^ 1]) + sound[2:]
    file.write_bytes({"cut": sound[:-9], "flip": flipped, "empty": b"", "foreign": b"x" * 99}[damage])
    assert not came_from_disk()
    assert file.read_bytes() == sound


def test_a_place_that_cannot_be_written_costs_a_compilation_and_no_error(directory, came_from_disk):
    directory.write_text("a file where the directory should be")
    assert not came_from_disk()
    assert directory.read_text() == "a file where the directory should be"


def test_an_empty_variable_keeps_nothing(tmp_path, monkeypatch, came_from_disk):
    monkeypatch.setenv(code_cache.VARIABLE, "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert code_cache.directory() is None
    assert not came_from_disk()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="file modes")
def test_where_others_may_write_nothing_is_loaded_and_the_scores_are_right(directory, came_from_disk):
    came_from_disk()
    assert came_from_disk()
    directory.chmod(0o777)
    assert not came_from_disk()


def test_a_change_of_the_package_is_compiled(directory, came_from_disk, monkeypatch):
    came_from_disk()
    monkeypatch.setattr(compile, "_source", lambda: "another version")
    assert not came_from_disk()


@pytest.mark.parametrize(("constant", "value"), [("ZERO", 127), ("LARGEST", 126), ("WORD", 8)])
def test_another_stored_form_of_rows_has_code_of_its_own(
    directory, came_from_disk, monkeypatch, constant, value
):
    came_from_disk()
    with monkeypatch.context() as another:
        another.setattr(rows, constant, value)
        compile.functions(
            ("scan", 20, 8), TARGET, lambda triple: scan.module(TARGET, 20, triple), [("scan", 3)]
        )
        assert len(list(directory.iterdir())) == 1  # this process has it
        another.setattr(compile, "_loaded", {})
        compile.functions(
            ("scan", 20, 8), TARGET, lambda triple: scan.module(TARGET, 20, triple), [("scan", 3)]
        )
    assert len(list(directory.iterdir())) == 2


def test_another_shape_of_a_targets_tiles_has_code_of_its_own(directory):
    tiles = (targets.Tile(1, (2, 1)),)
    other = dataclasses.replace(TARGET, tiles=tiles)
    for target in (TARGET, other):
        np.testing.assert_allclose(maxsim(*CASE, target), reference.maxsim(*CASE), rtol=1e-5)
    assert len(list(directory.iterdir())) == 2


def test_another_process_starts_without_compiling(directory, came_from_disk):
    """Also from an install that cannot be written: nothing is ever kept beside the source."""
    came_from_disk()
    script = (
        "from retrievers.kernels import compile, targets, scan\n"
        "compile.optimised = None\n"
        "scan.compiled(targets.TARGETS['portable'], 20)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize("row_bytes", [64, 128, 384])
def test_the_matrix_scan_compiles_also_where_no_processor_can_run_it(row_bytes):
    target, triple = targets.TARGETS["amx"], "x86_64-unknown-linux-gnu"
    machine = compile.target_machine(target, triple)
    assembly = machine.emit_assembly(compile.optimised(scan.module(target, row_bytes, triple), machine))
    assert "tdpbusd" in assembly
