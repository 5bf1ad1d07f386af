"""Arm processors in software: Unicorn, and qemu-aarch64 for the instructions that Unicorn does not have.

A program is machine code at CODE, data at DATA, and one function to call; it ends with what the data have become.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

CODE, DATA, STACK, BACK = 0x10000000, 0x20000000, 0x30000000, 0x40000000
MEGABYTE = 1 << 20
PAGE = 1 << 16  # the largest that an Arm system has
RETURN = 0xD65F03C0


@dataclass
class Program:
    """A call of a function.

    Attributes:
        code: what lies from CODE on.
        entry: address of the function.
        arguments: up to 8 integers.
        data: what lies from DATA on.
    """

    code: bytes
    entry: int
    arguments: list[int]
    data: bytes


def emulator_for(instruction):
    """The first emulator that has an instruction, and None; or None, and the reason that there is none.

    Args:
        instruction: the 32 bits of one that needs no memory.
    """
    reasons = []
    for run in (by_unicorn, by_qemu):
        try:
            run(Program(struct.pack("<II", instruction, RETURN), CODE, [], bytes(64)))
            return run, None
        except Missing as error:
            reasons.append(str(error))
    return None, "; ".join(reasons)


class Missing(Exception):
    """An emulator is not installed, or does not have an instruction."""


def by_unicorn(program):
    """Run a program in this process; returns its data."""
    try:
        import unicorn
        from unicorn import arm64_const as register
    except ImportError:
        raise Missing("pip install unicorn emulates an Arm processor") from None
    machine = unicorn.Uc(unicorn.UC_ARCH_ARM64, unicorn.UC_MODE_ARM)
    machine.ctl_set_cpu_model(register.UC_CPU_ARM64_MAX)
    room = -(-len(program.data) // PAGE) * PAGE
    for place, size in ((CODE, MEGABYTE), (DATA, room), (STACK, MEGABYTE), (BACK, MEGABYTE)):
        machine.mem_map(place, size)
    machine.mem_write(CODE, program.code)
    machine.mem_write(DATA, program.data)
    machine.reg_write(register.UC_ARM64_REG_CPACR_EL1, 3 << 20)  # vector registers may be used
    machine.reg_write(register.UC_ARM64_REG_SP, STACK + MEGABYTE - 4096)
    machine.reg_write(register.UC_ARM64_REG_LR, BACK)
    for number, value in enumerate(program.arguments):
        machine.reg_write(register.UC_ARM64_REG_X0 + number, value)
    try:
        machine.emu_start(program.entry, BACK)
    except unicorn.UcError as error:
        raise Missing(f"Unicorn {unicorn.__version__} stops: {error}") from None
    return bytes(machine.mem_read(DATA, len(program.data)))


def by_qemu(program, trace=None):
    """Run a program in qemu-aarch64; returns its data.

    Args:
        trace: a file that the address of every instruction is written to, in the order in which they ran: see `steps`.
    """
    command = qemu()
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "program"
        file.write_bytes(executable(program))
        file.chmod(0o755)
        options = [_one_at_a_time(command), "-d", "nochain,exec", "-D", str(trace)] if trace else []
        done = subprocess.run([command, "-cpu", "max", *options, str(file)], capture_output=True, check=False)
    if done.returncode:
        raise Missing(
            f"{command} stops with {done.returncode}: {done.stderr.decode(errors='replace').strip()}"
        )
    return done.stdout


def qemu():
    """Where qemu-aarch64 is."""
    command = shutil.which("qemu-aarch64") or shutil.which("qemu-aarch64-static")
    if command is None:
        raise Missing("qemu-aarch64 is not installed (apt-get install qemu-user-static)")
    return command


def _one_at_a_time(command):
    """The option that makes qemu-aarch64 run, and trace, one instruction at a time: its name is another from 8.1 on."""
    options = subprocess.run([command, "-help"], capture_output=True, text=True, check=False).stdout
    return next(name for name in ("-one-insn-per-tb", "-singlestep") if name in options)


def steps(trace):
    """Addresses of the instructions that a program ran, int64, without those of its beginning and its end.

    Args:
        trace: the file that by_qemu wrote.
    """
    lines = trace.read_text().splitlines()
    places = [int(line.split("/")[1], 16) for line in lines if line.startswith("Trace")]
    return np.array(places, np.int64)


def executable(program):
    """An ELF file for Linux that calls the program's function and writes its data to the standard output."""
    calls = [*enumerate(program.arguments), (9, program.entry)]
    begin = [word for number, value in calls for word in set_register(number, value)]
    begin.append(0xD63F0120)  # blr x9
    for call in ({8: 64, 0: 1, 1: DATA, 2: len(program.data)}, {8: 93, 0: 0}):  # write, exit
        begin += [word for number, value in call.items() for word in set_register(number, value)]
        begin.append(0xD4000001)  # svc 0
    code = program.code + bytes(-len(program.code) % 16)
    entry = CODE + len(code)
    code += struct.pack(f"<{len(begin)}I", *begin)
    places = PAGE, PAGE + (len(code) // PAGE + 1) * PAGE  # in the file
    head = b"\x7fELF\x02\x01\x01" + bytes(9)
    head += struct.pack("<HHIQQQIHHHHHH", 2, 183, 1, entry, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    for place, address, content, flags in ((places[0], CODE, code, 5), (places[1], DATA, program.data, 6)):
        size = len(content)
        head += struct.pack("<IIQQQQQQ", 1, flags, place, address, address, size, size, PAGE)
    return head.ljust(places[0], b"\0") + code.ljust(places[1] - places[0], b"\0") + program.data


def set_register(number, value):
    """movz and three movk."""
    parts = [value >> 16 * part & 0xFFFF for part in range(4)]
    return [
        (0xF2800000 if part else 0xD2800000) | part << 21 | bits << 5 | number
        for part, bits in enumerate(parts)
    ]
