"""A copy of one commit in another directory, while writers go on."""

from __future__ import annotations

import shutil
import sqlite3
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from retrievers.errors import RetrieversError, StoreError
from retrievers.store import _io, schema
from retrievers.store.connection import Connection, open_file, translated
from retrievers.store.directory import CATALOG, Directory, sync
from retrievers.store.lock import WriterLock
from retrievers.store.snapshot import Snapshot
from retrievers.store.tokens import DiskFiles, code_names, token_names

UNFINISHED = ".unfinished"  # how the name of a backup ends that is being made


def free(path: Path) -> Path:
    """The absolute path of a backup, if there is nothing yet.

    Raises:
        StoreError: something is there, or the directory that it shall lie in is not.
    """
    path = Path(path).absolute()
    if path.exists() or path.is_symlink():
        raise StoreError(f"{path} exists: a backup is written to a new directory. Give another path.")
    if not path.parent.is_dir():
        raise StoreError(f"{path.parent} is no directory: make it first, then back up into it.")
    return path


def write(connection: Connection, snapshot: Snapshot, path: Path, timeout: float) -> None:
    """Copy a commit into a new directory, which gets its name once all of it has reached the disk.

    Args:
        connection: inside the transaction that read the snapshot.
        path: from free.
    Raises:
        StoreError: the system refuses: disk full, no permission. Nothing of the copy is left.
    """
    _sweep(path)
    directory = Directory(path.with_name(f".{path.name}.{uuid.uuid4().hex}{UNFINISHED}"))
    lock = WriterLock(directory)
    try:
        with translated(str(path)):
            directory.make()
            lock.hold(timeout).during(_fill, connection, snapshot, directory, timeout)
            directory.close()
            _io.publish(directory.path, path)
            sync(path.parent)
    except BaseException:
        shutil.rmtree(directory.path, ignore_errors=True)
        raise


def _fill(connection: Connection, snapshot: Snapshot, directory: Directory, timeout: float) -> None:
    files, state = DiskFiles(directory), snapshot.state
    arrays: dict[str, NDArray[Any]] = {}
    if state.tokens:
        arrays |= zip(token_names(state.generation), (snapshot.rows, snapshot.scales), strict=True)
    if snapshot.codes is not None and snapshot.centroids is not None:
        arrays |= zip(code_names(state.codes), (snapshot.codes, snapshot.centroids), strict=True)
    for name, array in arrays.items():
        files.write(name, 0, array)
    with directory.create(CATALOG) as descriptor:
        target = open_file(directory.by_path(CATALOG), mode="rw", timeout=timeout)
        try:
            schema.wal(target)
            with connection.lock:
                _io.copy(connection.raw, target)
        finally:
            target.close()
        _io.fsync(int(descriptor))
    files.sync_names()


def _sweep(path: Path) -> None:
    """Take away what earlier backups of this name left that were killed: nobody holds their locks."""
    for place in path.parent.glob(f".{_literal(path.name)}.*{UNFINISHED}"):
        with suppress(RetrieversError, OSError, sqlite3.Error):
            left = Directory(place)
            if not place.is_symlink() and left.attach():
                WriterLock(left).hold(0).during(shutil.rmtree, place, True)
            left.close()


def _literal(name: str) -> str:
    """A name as a pattern that matches it alone."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)
