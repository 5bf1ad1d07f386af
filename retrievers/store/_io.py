"""Every step that changes what a power cut would leave behind, so that tests can fail or kill at each one."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

BINARY = getattr(os, "O_BINARY", 0)  # Windows would translate line ends without it


def open_file(path: Path) -> int:
    """Descriptor of a file to write, created with the permissions that the umask allows; never truncated."""
    return os.open(path, os.O_RDWR | os.O_CREAT | BINARY, 0o666)


def write(descriptor: int, data: memoryview, offset: int) -> None:
    """Write all of the bytes at an offset."""
    os.lseek(descriptor, offset, os.SEEK_SET)
    while data:
        data = data[os.write(descriptor, data) :]


def fsync(descriptor: int) -> None:
    """Return when the bytes of a file have reached the disk."""
    os.fsync(descriptor)


def fsync_directory(path: Path) -> None:
    """Return when the names in a directory have reached the disk.

    Without it a power cut can lose a new file although its bytes were written. Windows has no such call and
    keeps names in its journal.
    """
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(path: Path) -> None:
    """Take away a file's name; on POSIX its bytes stay for whoever has it mapped."""
    path.unlink(missing_ok=True)


def begin(connection: sqlite3.Connection) -> None:
    """Start a transaction that may write."""
    connection.execute("BEGIN IMMEDIATE")


def commit(connection: sqlite3.Connection) -> None:
    """Make a transaction durable: its pages and the fsync of SQLite's log."""
    connection.execute("COMMIT")
