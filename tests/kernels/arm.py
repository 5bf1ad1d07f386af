"""An Arm processor in software: links a kernel that was compiled for aarch64 and runs it in Unicorn."""

from __future__ import annotations

import struct

import numpy as np
import unicorn
from unicorn import arm64_const as register

from retrievers.kernels import compile, nibbles, scan
from retrievers.kernels.pack import pack

TRIPLE = "aarch64-unknown-linux-gnu"
CODE, DATA, STACK, BACK = 0x10000000, 0x20000000, 0x30000000, 0x40000000
MEGABYTE = 1 << 20


def maxsim(rows, scales, starts, ends, queries, target, bits=8):
    """retrievers.kernels.maxsim.maxsim, on the emulated processor."""
    arithmetic, row_bytes = target.arithmetic, rows.shape[1]
    queries = [nibbles.turned(query) for query in queries] if bits == nibbles.BITS else queries
    machine = compile.target_machine(target, TRIPLE)
    unit = scan.module(target, row_bytes, TRIPLE, bits)
    code, entry = link(machine.emit_object(compile.optimised(unit, machine)))
    packed = pack(
        queries,
        row_bytes=row_bytes * 8 // bits,
        lanes=target.lanes,
        step=arithmetic.step,
        limit=arithmetic.limit,
        offset=arithmetic.offset,
    )
    emulator = unicorn.Uc(unicorn.UC_ARCH_ARM64, unicorn.UC_MODE_ARM)
    emulator.ctl_set_cpu_model(register.UC_CPU_ARM64_MAX)
    for place, size in ((CODE, 1), (DATA, 64), (STACK, 1), (BACK, 1)):
        emulator.mem_map(place, size * MEGABYTE)
    emulator.mem_write(CODE, code)
    free = DATA

    def put(array):
        nonlocal free
        place, free = free, free + (array.nbytes // 64 + 2) * 64
        emulator.mem_write(place, np.ascontiguousarray(array).tobytes())
        return place

    scores = np.zeros((len(queries), len(starts)), np.float32)
    given = {
        "rows": rows,
        "scales": scales,
        "starts": starts,
        "ends": ends,
        "windows": len(starts),
        "chunk": 8,
        "query": packed.data,
        "excess": packed.excess,
        "query_scales": packed.scales,
        "groups": packed.groups,
        "offsets": packed.offsets,
        "queries": len(queries),
        "out": scores,
    }
    assert given.keys() == scan.TASK.fields.keys()
    places = {name: put(value) for name, value in given.items() if isinstance(value, np.ndarray)}
    task = np.array([places.get(name, given[name]) for name in scan.TASK.fields], np.int64)
    longest = int((ends - starts).max())
    floats = scan.scratch_floats(target, row_bytes, packed.groups, bits, longest)
    arguments = [put(task), put(np.zeros(1, np.int64)), put(np.zeros(floats, np.float32))]
    emulator.reg_write(register.UC_ARM64_REG_CPACR_EL1, 3 << 20)  # vector registers may be used
    emulator.reg_write(register.UC_ARM64_REG_SP, STACK + MEGABYTE - 4096)
    emulator.reg_write(register.UC_ARM64_REG_LR, BACK)
    for number, value in enumerate(arguments):
        emulator.reg_write(register.UC_ARM64_REG_X0 + number, value)
    emulator.emu_start(entry, BACK)
    return np.frombuffer(emulator.mem_read(places["out"], scores.nbytes), np.float32).reshape(scores.shape)


def link(file):
    """Sections of an ELF object, laid out from CODE on with their references filled in, and where scan is."""
    (table,) = struct.unpack_from("<Q", file, 0x28)
    (count,) = struct.unpack_from("<H", file, 0x3C)
    sections = [struct.unpack_from("<IIQQQQIIQQ", file, table + 64 * n) for n in range(count)]
    memory, places = bytearray(), {}
    for number, (_, _, flags, _, offset, size, _, _, alignment, _) in enumerate(sections):
        if flags & 2:  # lies in memory when it runs
            memory += bytes(-len(memory) % max(alignment, 1))
            places[number] = CODE + len(memory)
            memory += file[offset : offset + size]
    [symbols] = [section for section in sections if section[1] == 2]
    entries = [struct.unpack_from("<IBBHQQ", file, symbols[4] + 24 * n) for n in range(symbols[5] // 24)]
    for _, kind, _, _, offset, size, _, target, _, _ in sections:
        if kind == 4 and target in places:  # references to fill in
            for n in range(size // 24):
                at, info, addend = struct.unpack_from("<QQq", file, offset + 24 * n)
                _, _, _, section, value, _ = entries[info >> 32]
                _fill(memory, places[target] + at, info & 0xFFFFFFFF, places[section] + value + addend)
    names = sections[symbols[6]][4]
    for name, _, _, section, value, _ in entries:
        if file[names + name :].startswith(b"scan\0"):
            return bytes(memory), places[section] + value
    raise AssertionError("the object has no scan")


def _fill(memory, place, kind, value):
    """Arm's ELF relocations that LLVM uses for constants."""
    (word,) = struct.unpack_from("<I", memory, place - CODE)
    if 263 <= kind <= 269:  # a quarter of an address
        word |= (value >> 16 * ((kind - 263) // 2) & 0xFFFF) << 5
    elif kind == 275:  # the page of an address
        pages = (value >> 12) - (place >> 12)
        word |= (pages & 3) << 29 | (pages >> 2 & 0x7FFFF) << 5
    elif kind in (277, 285, 286, 299):  # the place in a page, in units of the load
        word |= ((value & 0xFFF) >> {277: 0, 285: 2, 286: 3, 299: 4}[kind]) << 10
    elif kind == 261:  # a distance
        word = value - place & 0xFFFFFFFF
    else:
        raise AssertionError(f"relocation {kind} is not known here")
    struct.pack_into("<I", memory, place - CODE, word)
