"""Token rows, scales, codes and centroids: flat arrays in append-only files, or in memory."""

from __future__ import annotations

import mmap
import os
import re
import sys
import zlib
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from retrievers.errors import CorruptStoreError
from retrievers.store import _io
from retrievers.store.directory import Directory

NAME = re.compile(r"(tokens-\d{6,}\.u[84]|scales-\d{6,}\.f32|codes-\d{6,}\.u16|centroids-\d{6,}\.f32)")
DENSE = re.compile(r"tokens-\d+\.u8|scales-.*")  # files in which no byte, or no number, is 0


def token_names(generation: int, bits: int) -> tuple[str, str]:
    """Names of the rows, which have 8 or 4 bits a number, and of the scales of a generation."""
    return f"tokens-{generation:06}.u{bits}", f"scales-{generation:06}.f32"


def code_names(number: int) -> tuple[str, str]:
    """Names of the codes and of the centroids that one optimisation or compaction wrote."""
    return f"codes-{number:06}.u16", f"centroids-{number:06}.f32"


class MissingFileError(CorruptStoreError):
    """The catalogue names a file that is not there: lost, or taken away by a compaction just now."""


class Files(Protocol):
    """Named arrays of which only the part behind all committed rows is ever written."""

    def write(self, name: str, offset: int, array: NDArray[Any]) -> None:
        """Write an array at a byte offset and see it to the disk."""
        ...

    def sync_names(self) -> None:
        """See the names of new files to the disk."""
        ...

    def read(self, name: str, dtype: DTypeLike, shape: tuple[int, ...]) -> NDArray[Any]:
        """The first rows of an array, read-only and not copied.

        Raises:
            MissingFileError: no such name.
            CorruptStoreError: it is shorter.
        """
        ...

    def size(self, name: str) -> int:
        """Bytes; 0 for a name that is not there."""
        ...

    def names(self) -> list[str]:
        """All names there are."""
        ...

    def remove(self, name: str) -> None:
        """Take an array away; whoever has read it keeps it."""
        ...


class DiskFiles:
    """Arrays as files of one directory, little-endian, mapped to be read."""

    def __init__(self, directory: Directory) -> None:
        self.directory = directory

    def write(self, name: str, offset: int, array: NDArray[Any]) -> None:
        with self.directory.create(name) as descriptor:
            self.directory.check()  # under the lock, before the first byte: names may have become another's
            _io.write(int(descriptor), _bytes(array), offset)
            _io.fsync(int(descriptor))

    def sync_names(self) -> None:
        self.directory.sync()

    def read(self, name: str, dtype: DTypeLike, shape: tuple[int, ...]) -> NDArray[Any]:
        kind = np.dtype(dtype).newbyteorder("<")
        if 0 in shape:
            return np.zeros(shape, kind)
        try:
            descriptor = self.directory.open(name)
        except FileNotFoundError:
            raise _missing(name) from None
        with descriptor:
            needed = _check_size(name, os.fstat(int(descriptor)).st_size, kind.itemsize, shape)
            if DENSE.fullmatch(name):
                _check_hole(name, int(descriptor), needed)
            # Python 3.13 can map a file without keeping a descriptor of its own.
            options = {"trackfd": False} if sys.version_info >= (3, 13) else {}
            mapped = mmap.mmap(int(descriptor), needed, access=mmap.ACCESS_READ, **options)
        return np.frombuffer(mapped, kind).reshape(shape)

    def size(self, name: str) -> int:
        found = self.directory.status(name)
        return 0 if found is None else found.st_size

    def names(self) -> list[str]:
        return sorted(name for name in self.directory.names() if NAME.fullmatch(name))

    def remove(self, name: str) -> None:
        try:
            self.directory.remove(name)
        except PermissionError:
            # Windows keeps a mapped file; the next writer removes it.
            if os.name != "nt":
                raise


class MemoryFiles:
    """Arrays in memory that behave as the files do: what a reader has got never changes."""

    def __init__(self) -> None:
        self._buffers: dict[str, NDArray[np.uint8]] = {}

    def write(self, name: str, offset: int, array: NDArray[Any]) -> None:
        data = np.frombuffer(_bytes(array), np.uint8)
        buffer = self._buffers.get(name, np.zeros(0, np.uint8))
        needed = offset + len(data)
        if needed > len(buffer):
            grown = np.zeros(max(needed, len(buffer) * 3 // 2), np.uint8)
            grown[: len(buffer)] = buffer
            self._buffers[name] = buffer = grown
        buffer[offset:needed] = data

    def sync_names(self) -> None:
        pass

    def read(self, name: str, dtype: DTypeLike, shape: tuple[int, ...]) -> NDArray[Any]:
        kind = np.dtype(dtype)
        if 0 in shape:
            return np.zeros(shape, kind)
        if name not in self._buffers:
            raise _missing(name)
        _check_size(name, len(self._buffers[name]), kind.itemsize, shape)
        array = self._buffers[name][: int(np.prod(shape)) * kind.itemsize].view(kind).reshape(shape)
        array.flags.writeable = False
        return array

    def size(self, name: str) -> int:
        return len(self._buffers.get(name, ()))

    def names(self) -> list[str]:
        return sorted(self._buffers)

    def remove(self, name: str) -> None:
        self._buffers.pop(name, None)


def checksum(*arrays: NDArray[Any], before: int = 0) -> int:
    """CRC-32 of the bytes of arrays, one behind the other, and behind those whose checksum is `before`."""
    value = before
    for array in arrays:
        value = zlib.crc32(_bytes(array), value)
    return value


def _bytes(array: NDArray[Any]) -> memoryview:
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return little.reshape(-1).view(np.uint8).data


def _missing(name: str) -> MissingFileError:
    return MissingFileError(
        f"{name} is missing, which the catalogue names: restore the directory from a backup."
    )


def _check_hole(name: str, descriptor: int, needed: int) -> None:
    """Refuse a file that claims rows which were never written: reading them would cost what the claim costs.

    No byte of a row of 8 bits and no scale is 0, so that their files have no hole, whatever its file system compresses.
    """
    if hasattr(os, "SEEK_HOLE"):
        try:
            hole = os.lseek(descriptor, 0, os.SEEK_HOLE)
        except OSError:
            return  # a file system that knows of no holes
        if hole < needed:
            raise CorruptStoreError(
                f"{name} has a hole at byte {hole}, where rows should be: it is damaged. `retrievers verify` names the "
                "documents; restore the directory from a backup."
            )


def _check_size(name: str, size: int, itemsize: int, shape: tuple[int, ...]) -> int:
    """How many bytes an array needs, if the file has them."""
    needed = itemsize
    for length in shape:
        needed *= length  # as Python ints: a damaged catalogue may name lengths that overflow
    if size < needed:
        raise CorruptStoreError(
            f"{name} has {size} bytes, but the catalogue names {needed}: it was cut off or replaced. "
            "`retrievers verify` names the documents; restore the directory from a backup, or delete them, "
            "compact, and add them again."
        )
    return needed
