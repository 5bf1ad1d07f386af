"""Kernels compiled for aarch64, linked, and run by an Arm processor in software."""

from __future__ import annotations

import struct

import numpy as np

from retrievers.kernels import centroid_scan, compile, nibbles, scan
from retrievers.kernels.pack import pack
from tests.kernels.emulator import CODE, DATA, PAGE, Program

TRIPLE = "aarch64-unknown-linux-gnu"


class Memory:
    """Arrays, and where they lie when a program begins. Nothing may be read after the last one."""

    def __init__(self):
        self._arrays, self._end = [], DATA

    def put(self, array):
        """The address of an array."""
        array = np.ascontiguousarray(array)
        place, self._end = self._end, self._end + (array.nbytes // 64 + 2) * 64
        self._arrays.append((place - DATA, array))
        return place

    def put_last(self, array):
        """The address of an array that ends where the memory of the program does."""
        self._end = DATA + -(-(self._end - DATA + array.nbytes) // PAGE) * PAGE
        place = self._end - array.nbytes
        self._arrays.append((place - DATA, np.ascontiguousarray(array)))
        return place

    def content(self):
        data = bytearray(self._end - DATA)
        for place, array in self._arrays:
            data[place : place + array.nbytes] = array.tobytes()
        return bytes(data)


def maxsim(rows, scales, starts, ends, queries, target, bits=8, *, run):
    """retrievers.kernels.maxsim.maxsim, on the processor that `run` emulates."""
    program, place = scan_program(rows, scales, starts, ends, queries, target, bits)
    shape = len(queries), len(starts)
    return np.frombuffer(run(program), np.float32, shape[0] * shape[1], place).reshape(shape)


def scan_program(rows, scales, starts, ends, queries, target, bits=8):
    """The scan of a target as a program, and where in its data the scores will be."""
    arithmetic, row_bytes = target.arithmetic, rows.shape[1]
    queries = [nibbles.turned(query) for query in queries] if bits == nibbles.BITS else queries
    packed = pack(
        queries,
        row_bytes=row_bytes * 8 // bits,
        lanes=target.lanes,
        step=arithmetic.step,
        limit=arithmetic.limit,
        offset=arithmetic.offset,
    )
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
        "out": np.zeros((len(queries), len(starts)), np.float32),
    }
    assert given.keys() == scan.TASK.fields.keys()
    memory = Memory()
    arrays = [name for name, value in given.items() if isinstance(value, np.ndarray) and name != "rows"]
    places = {name: memory.put(given[name]) for name in arrays}
    floats = scan.scratch_floats(target, row_bytes, packed.groups, bits, int((ends - starts).max()))
    counter, scratch = memory.put(np.zeros(1, np.int64)), memory.put(np.zeros(floats, np.float32))
    task = np.zeros(len(given), np.int64)
    arguments = [memory.put(task), counter, scratch]
    places["rows"] = memory.put_last(rows[: ends.max()])
    task[:] = [places.get(name, given[name]) for name in scan.TASK.fields]
    code, entry = compiled(scan.module(target, row_bytes, TRIPLE, bits), target, scan.NAME)
    return Program(code, entry, arguments, memory.content()), places["out"] - DATA


def centroid_functions(target, width, run):
    """retrievers.kernels.centroid_scan.compiled, whose functions take arrays in place of addresses."""
    unit = centroid_scan.module(target, width, TRIPLE)

    def function(name):
        def call(*arguments):
            memory = Memory()
            places = [memory.put(value) if isinstance(value, np.ndarray) else value for value in arguments]
            data = run(Program(*compiled(unit, target, name), places, memory.content()))
            for value, place in zip(arguments, places, strict=True):
                if isinstance(value, np.ndarray):
                    value[...] = np.frombuffer(data, value.dtype, value.size, place - DATA).reshape(
                        value.shape
                    )

        return call

    return {name: function(name) for name in ("nearest", "table16", "table32")}


def compiled(unit, target, function):
    """Machine code of a module, and where a function of it is."""
    machine = compile.target_machine(target, TRIPLE)
    return link(machine.emit_object(compile.optimised(unit, machine)), function)


def link(file, function):
    """Sections of an ELF object, laid out from CODE on with their references filled in, and where a function is."""
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
        if file[names + name :].startswith(function.encode() + b"\0"):
            return bytes(memory), places[section] + value
    raise AssertionError(f"the object has no {function}")


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
