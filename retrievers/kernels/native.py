"""Native functions of a module of LLVM IR, compiled for a path and kept on disk like the scan."""

from __future__ import annotations

import ctypes
import hashlib
import sys
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any

import llvmlite
import llvmlite.binding as llvm
from llvmlite import ir

from retrievers.kernels.build import _read, _write, cache_directory, optimised, target_machine
from retrievers.kernels.paths import Path

Functions = dict[str, Callable[..., None]]

_lock = Lock()
_loaded: dict[tuple[object, ...], Functions] = {}
_keep: list[Any] = []  # engines, whose code the functions run


def functions(
    name: tuple[object, ...],
    path: Path,
    make: Callable[[str], ir.Module],
    arguments: Sequence[tuple[str, int]],
) -> Functions:
    """Functions of a module, built once a process and compiled once a machine; they run without the GIL.

    Args:
        name: what tells this module from others in this process.
        path: the processor to compile for.
        make: the module for a machine, given what LLVM calls it.
        arguments: names of the functions, and how many int64 each takes.
    """
    found = _loaded.get(name)
    if found is None:
        with _lock:
            found = _loaded.get(name)
            if found is None:
                found = _loaded[name] = _load(path, make(llvm.get_process_triple()), arguments)
    return found


def _load(path: Path, unit: ir.Module, arguments: Sequence[tuple[str, int]]) -> Functions:
    machine = target_machine(path, llvm.get_process_triple())
    parts = [str(unit), path.cpu, path.features, llvmlite.__version__, sys.version]
    key = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    code = _read(cache_directory(), key)
    if code is None:
        code = machine.emit_object(optimised(unit, machine))
        _write(cache_directory(), key, code)
    context = llvm.create_context()
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly("", context=context), machine)
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    _keep.append((engine, context))
    return {
        name: ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * count)(engine.get_function_address(name))
        for name, count in arguments
    }
