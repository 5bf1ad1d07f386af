"""From a module of LLVM IR to a native function, with the machine code kept on disk."""

from __future__ import annotations

import ctypes
import hashlib
import os
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from threading import Lock
from typing import Any

import llvmlite
import llvmlite.binding as llvm
from llvmlite import ir

from retrievers.kernels.paths import Path
from retrievers.kernels.scan import NAME, module

VARIABLE = "RETRIEVERS_CACHE_DIR"
_DIGEST = hashlib.sha256().digest_size


@dataclass
class Native:
    """A compiled scan.

    Attributes:
        call: scan(task, counter, scratch), three addresses; runs without the GIL.
        cached: whether its machine code came from disk.
    """

    call: Any
    cached: bool
    _keep: list[Any] = field(default_factory=list, repr=False)


_lock = Lock()
_built: dict[tuple[str, int], Native] = {}


def native(path: Path, row_bytes: int) -> Native:
    """The scan of a path for one width of rows: built once a process, compiled once a machine."""
    found = _built.get((path.name, row_bytes))
    if found is None:
        with _lock:
            found = _built.get((path.name, row_bytes))
            if found is None:
                found = _built[path.name, row_bytes] = _build(path, row_bytes)
    return found


def target_machine(path: Path, triple: str) -> llvm.TargetMachine:
    """LLVM's back end for a path, also for another architecture than this machine's."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    static = path.machine == "x86_64"
    return llvm.Target.from_triple(triple).create_target_machine(
        cpu=path.cpu,
        features=path.features,
        opt=3,
        reloc="static" if static else "default",
        codemodel="jitdefault",
        jit=True,
    )


def optimised(unit: ir.Module, machine: llvm.TargetMachine) -> llvm.ModuleRef:
    """Parse, verify and optimise a module for a machine."""
    parsed = llvm.parse_assembly(str(unit), context=llvm.create_context())
    parsed.verify()
    builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=3))
    builder.getModulePassManager().run(parsed, builder)
    return parsed


def cache_directory() -> FilePath | None:
    """Where machine code is kept: RETRIEVERS_CACHE_DIR, else the user's cache directory; None for nowhere."""
    given = os.environ.get(VARIABLE)
    if given is not None:
        return FilePath(given) if given else None
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA")
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    if not base:
        return None
    try:
        return FilePath(base).expanduser() / "maxsim-retrievers"
    except RuntimeError:  # this user has no home
        return None


def _build(path: Path, row_bytes: int) -> Native:
    triple = llvm.get_process_triple()
    unit = module(path.arithmetic, path.lanes, path.tiles, row_bytes, triple)
    machine = target_machine(path, triple)
    key = hashlib.sha256(
        "\n".join([str(unit), path.cpu, path.features, llvmlite.__version__, sys.version]).encode()
    ).hexdigest()
    directory = cache_directory()
    code = _read(directory, key)
    cached = code is not None
    if code is None:
        code = machine.emit_object(optimised(unit, machine))
        _write(directory, key, code)
    return link(code, machine, cached=cached)


def _unlock() -> None:
    # A forked child inherits the lock as another thread held it.
    global _lock
    _lock = Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock)


def link(code: bytes, machine: llvm.TargetMachine, *, cached: bool = False) -> Native:
    """Load machine code into this process."""
    context = llvm.create_context()
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly("", context=context), machine)
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    call = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)(
        engine.get_function_address(NAME)
    )
    return Native(call, cached, [engine, context])


def _read(directory: FilePath | None, key: str) -> bytes | None:
    """Machine code of a key; None if there is none, or if it was damaged."""
    if directory is None:
        return None
    try:
        content = (directory / f"{key}.o").read_bytes()
    except OSError:
        return None
    digest, code = content[:_DIGEST], content[_DIGEST:]
    return code if hashlib.sha256(code).digest() == digest else None


def _write(directory: FilePath | None, key: str, code: bytes) -> None:
    """Keep machine code, whole or not at all; a place that cannot be written costs a compilation, no more."""
    if directory is None:
        return
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=directory, suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(hashlib.sha256(code).digest() + code)
            os.replace(name, directory / f"{key}.o")
        except OSError:
            os.unlink(name)
    except OSError:
        return
