"""From modules of LLVM IR to native functions of this process; the machine code is kept on disk."""

from __future__ import annotations

import ctypes
import hashlib
import os
from collections.abc import Callable, Sequence
from functools import cache
from importlib import resources
from typing import Any

import llvmlite
import llvmlite.binding as llvm
from llvmlite import ir

from retrievers.kernels import code_cache, rows
from retrievers.kernels.fork import Guard, let_finish, per_process
from retrievers.kernels.targets import Target

Functions = dict[str, Callable[..., None]]

PATIENCE = 10.0  # seconds that a fork waits for another thread's compilation: longer than one takes

_state = per_process(Guard)
_loaded: dict[tuple[tuple[object, ...], Target], Functions] = {}
_keep: list[Any] = []  # engines, whose code the functions run


def functions(
    name: tuple[object, ...],
    target: Target,
    make: Callable[[str], ir.Module],
    arguments: Sequence[tuple[str, int]],
) -> Functions:
    """Functions of a module: loaded once by a process, compiled once for all of them. They run without the GIL.

    Args:
        name: strings and numbers that, with the target and this package's source, settle what `make` makes.
        target: the kind of processor to compile for.
        make: makes the module, given what LLVM calls the architecture and the system.
        arguments: names of the functions, and how many int64 each takes.
    """
    found = _loaded.get((name, target))
    if found is None:
        with _state.lock:
            found = _loaded.get((name, target))
            if found is None:
                found = _loaded[name, target] = _load(name, target, make, arguments)
    return found


def target_machine(target: Target, triple: str) -> llvm.TargetMachine:
    """LLVM's back end for a target, also of another architecture than this processor's."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    return llvm.Target.from_triple(triple).create_target_machine(
        cpu=target.cpu,
        features=target.features,
        opt=3,
        reloc="static" if target.architecture == "x86_64" else "default",
        codemodel="jitdefault",
        jit=True,
    )


def optimised(unit: ir.Module, machine: llvm.TargetMachine) -> llvm.ModuleRef:
    """Parse a module, check that it is valid, and optimise it for a target."""
    parsed = llvm.parse_assembly(str(unit), context=llvm.create_context())
    parsed.verify()
    builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=3))
    builder.getModulePassManager().run(parsed, builder)
    return parsed


def assembler(make: Callable[[str], ir.Module], target: Target, triple: str | None = None) -> str:
    """The assembler that a module comes out as, to be read: see README.md of this package.

    Args:
        make: makes the module, given what LLVM calls the architecture and the system.
        target: the kind of processor; it need not be this one.
        triple: the architecture and the system, "aarch64-unknown-linux-gnu" for example; None means this one.
    """
    triple = triple or llvm.get_process_triple()
    machine = target_machine(target, triple)
    text: str = machine.emit_assembly(optimised(make(triple), machine))
    return text


def _load(
    name: tuple[object, ...],
    target: Target,
    make: Callable[[str], ir.Module],
    arguments: Sequence[tuple[str, int]],
) -> Functions:
    triple = llvm.get_process_triple()
    machine = target_machine(target, triple)
    parts = [_source(), repr((name, rows.form())), triple, target.description, llvmlite.__version__]
    key = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    code = code_cache.read(key)
    if code is None:
        code = machine.emit_object(optimised(make(triple), machine))
        code_cache.write(key, code)
    context = llvm.create_context()
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly("", context=context), machine)
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    _keep.append((engine, context))
    return {
        function: ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * count)(engine.get_function_address(function))
        for function, count in arguments
    }


@cache
def _source() -> str:
    """A digest of this package's files, so that code of another version of it is not taken.

    Not of the IR, which takes longer to write than compiled code takes to load.
    """
    files = sorted(resources.files(__package__).iterdir(), key=lambda file: file.name)
    content = [file.read_bytes() for file in files if file.name.endswith((".py", ".pyc"))]
    return hashlib.sha256(b"\0".join(content)).hexdigest()


def _let_others_finish() -> None:
    """Wait, before this process forks, until no other thread is within LLVM, which has locks of its own."""
    let_finish(_state.lock, PATIENCE)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_let_others_finish)
