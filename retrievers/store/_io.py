"""Every step that changes what a power cut would leave behind, so that tests can fail or kill at each one."""

from __future__ import annotations

import errno
import os
import sqlite3
from functools import partial
from pathlib import Path

# A link is not followed and a FIFO does not block; Windows, which has neither flag, would translate line ends.
FLAGS = sum(
    getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY", "O_NOCTTY")
)
MODE = 0o666  # what the umask allows


def open_file(held: list[int], path: str, directory: int | None) -> None:
    """Open a file to write, created if need be and never truncated; `held` gets its descriptor."""
    hold(held, path, os.O_RDWR | os.O_CREAT | FLAGS, directory)


def hold(held: list[int], path: str, flags: int, directory: int | None) -> None:
    """Open a file; `held` gets its descriptor in one step of the interpreter.

    An interrupt between the return of os.open and the assignment of its result would lose the descriptor.
    """
    call = os.open if directory is None else partial(os.open, dir_fd=directory)
    held.extend(map(call, [path], [flags], [MODE]))


def write(descriptor: int, data: memoryview, offset: int) -> None:
    """Write all of the bytes at an offset."""
    os.lseek(descriptor, offset, os.SEEK_SET)
    while data:
        data = data[os.write(descriptor, data) :]


def fsync(descriptor: int) -> None:
    """Return when the bytes of a file have reached the disk."""
    os.fsync(descriptor)


def fsync_directory(descriptor: int) -> None:
    """Return when the names in a directory have reached the disk.

    Without it a power cut can lose a new file although its bytes were written.
    """
    os.fsync(descriptor)


def make_directory(path: Path) -> None:
    """Make a directory, if it is not there."""
    path.mkdir(exist_ok=True)


def rename(old: str, new: str, directory: int | None) -> None:
    """Give a file another name, in the place of the one that has it."""
    os.replace(old, new, src_dir_fd=directory, dst_dir_fd=directory)


def remove(path: str, directory: int | None) -> None:
    """Take away a file's name; on POSIX its bytes stay for whoever has it mapped."""
    os.unlink(path, dir_fd=directory)


def begin(connection: sqlite3.Connection) -> None:
    """Start a transaction that may write."""
    connection.execute("BEGIN IMMEDIATE")


def commit(connection: sqlite3.Connection) -> None:
    """Make a transaction durable: its pages and the fsync of SQLite's log."""
    connection.execute("COMMIT")


def copy(source: sqlite3.Connection, target: sqlite3.Connection) -> None:
    """Copy a whole catalogue, as the open transaction of the source sees it."""
    source.backup(target)


def publish(unfinished: Path, path: Path) -> None:
    """Give a finished directory its name; never one that another directory has."""
    if os.path.lexists(path):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    unfinished.rename(path)
