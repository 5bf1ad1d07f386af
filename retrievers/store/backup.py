"""A copy of one commit in another directory, while writers go on: byte for byte, or with other bits a number."""

from __future__ import annotations

import shutil
import sqlite3
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from retrievers.errors import RetrieversError, StoreError
from retrievers.kernels.rows import RowForm
from retrievers.store import _io, compaction, migrations, schema
from retrievers.store.connection import Connection, open_file, translated
from retrievers.store.directory import CATALOG, Directory, sync
from retrievers.store.lock import WriterLock
from retrievers.store.snapshot import Snapshot
from retrievers.store.tokens import DiskFiles, code_names, token_names

UNFINISHED = ".unfinished"  # how the name of a copy ends that is being made

Fill = Callable[..., None]
"""Writes a copy into a Directory: Connection, Snapshot, RowForm, Directory, seconds, and what else it needs."""


def free(path: Path) -> Path:
    """The absolute path of a copy, if there is nothing yet.

    Raises:
        StoreError: something is there, or the directory that it shall lie in is not.
    """
    path = Path(path).absolute()
    if path.exists() or path.is_symlink():
        raise StoreError(f"{path} exists: a copy is written to a new directory. Give another path.")
    if not path.parent.is_dir():
        raise StoreError(f"{path.parent} is no directory: make it first, then copy into it.")
    return path


def write(
    connection: Connection,
    snapshot: Snapshot,
    form: RowForm,
    path: Path,
    timeout: float,
    fill: Fill,
    *more: Any,
) -> None:
    """Copy a commit into a new directory, which gets its name once all of it has reached the disk.

    Args:
        connection: inside the transaction that read the snapshot.
        form: of the rows.
        path: from free.
        fill: as_it_is, or converted.
        more: what fill takes besides.
    Raises:
        StoreError: the system refuses: disk full, no permission. Nothing of the copy is left.
    """
    _sweep(path)
    directory = Directory(path.with_name(f".{path.name}.{uuid.uuid4().hex}{UNFINISHED}"))
    lock = WriterLock(directory)
    try:
        with translated(str(path)):
            directory.make()
            lock.hold(timeout).during(fill, connection, snapshot, form, directory, timeout, *more)
            directory.close()
            _io.publish(directory.path, path)
            sync(path.parent)
    except BaseException:
        shutil.rmtree(directory.path, ignore_errors=True)
        raise


def as_it_is(
    connection: Connection, snapshot: Snapshot, form: RowForm, directory: Directory, timeout: float
) -> None:
    """Copy the token files as far as the commit counts them, and the catalogue."""
    files, state = DiskFiles(directory), snapshot.state
    arrays: dict[str, NDArray[Any]] = {}
    if state.tokens:
        names = token_names(state.generation, form.bits)
        arrays |= zip(names, (snapshot.rows, snapshot.scales), strict=True)
    if snapshot.codes is not None and snapshot.centroids is not None:
        arrays |= zip(code_names(state.codes), (snapshot.codes, snapshot.centroids), strict=True)
    for name, array in arrays.items():
        files.write(name, 0, array)
    _copy_catalogue(connection, directory, timeout)
    files.sync_names()


def converted(
    connection: Connection,
    snapshot: Snapshot,
    form: RowForm,
    directory: Directory,
    timeout: float,
    bits: int,
    advance: Callable[[int], Any],
) -> None:
    """Write the live rows with other bits a number, and a catalogue that names them, with an id of its own.

    Args:
        bits: of a number of the new rows.
        advance: called with the number of windows that were written.
    Raises:
        CorruptStoreError: a window is damaged; the message names its document.
    """
    old = compaction.Stored(form, snapshot.rows, snapshot.scales, snapshot.codes, snapshot.centroids)
    files = DiskFiles(directory)
    written = compaction.write(connection, old, files, snapshot.state, advance, bits=bits)

    def name_rows(target: Connection) -> None:
        target.format = connection.format
        migrations.migrate(target)
        schema.set_bits(target, bits)
        target.run(
            "UPDATE settings SET value = ? WHERE name = ?", [schema.new_collection(), schema.COLLECTION]
        )
        compaction.switch(target, written)

    _copy_catalogue(connection, directory, timeout, name_rows)
    files.sync_names()


def _copy_catalogue(
    connection: Connection,
    directory: Directory,
    timeout: float,
    change: Callable[[Connection], None] | None = None,
) -> None:
    """Copy the catalogue as the open transaction sees it; a change is made to the copy in a transaction of its own."""
    with directory.create(CATALOG) as descriptor:
        target = Connection(
            open_file(directory.by_path(CATALOG), mode="rw", timeout=timeout), str(directory.path)
        )
        try:
            schema.wal(target.raw)
            with connection.lock:
                _io.copy(connection.raw, target.raw)
            if change is not None:
                _io.begin(target.raw)
                change(target)
                target.commit()
        finally:
            target.close()
        _io.fsync(int(descriptor))


def _sweep(path: Path) -> None:
    """Take away what earlier copies of this name left that were killed: nobody holds their locks."""
    for place in path.parent.glob(f".{_literal(path.name)}.*{UNFINISHED}"):
        with suppress(RetrieversError, OSError, sqlite3.Error):
            left = Directory(place)
            if not place.is_symlink() and left.attach():
                WriterLock(left).hold(0).during(shutil.rmtree, place, True)
            left.close()


def _literal(name: str) -> str:
    """A name as a pattern that matches it alone."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)
