"""One directory, held by its descriptor: a deployment may move it, or put another at its path, while we run."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from retrievers.errors import CorruptStoreError, StoreClosedError, StoreReplacedError
from retrievers.store import _io

CATALOG = "catalog.sqlite"
DESCRIPTORS = (
    os.open in os.supports_dir_fd and os.name != "nt"
)  # whether names can be relative to a descriptor
NOT_OURS = (errno.ELOOP, errno.ENXIO, errno.EISDIR, errno.ENOTDIR)  # what opening a link, a socket … gives


class Descriptor:
    """A descriptor that is closed with its last reference, and never by number while somebody uses it."""

    def __init__(self) -> None:
        self.held: list[int] = []

    def __int__(self) -> int:
        return self.held[0]

    def close(self) -> None:
        """Close it; a second call does nothing."""
        while self.held:
            # Out of the list and closed in one step: an interrupt between the two would leave it open.
            list(map(os.close, map(list.pop, [self.held])))

    def __enter__(self) -> Descriptor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        with suppress(AttributeError):  # an __init__ that was interrupted
            self.close()


class Directory:
    """The files of one collection.

    Args:
        path: where the directory is, or will be; a link to it is followed, once.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path).absolute()
        self._descriptor: Descriptor | None = None
        self._itself: tuple[int, int] | None = None
        self._catalog: tuple[int, int] | None = None
        self._closed = False

    def attach(self) -> bool:
        """Open the directory; False where there is none yet.

        Raises:
            CorruptStoreError: the path is a file.
        """
        if self._itself is not None:
            return True
        try:
            found = os.stat(self.path)
            if not stat.S_ISDIR(found.st_mode):
                raise CorruptStoreError(f"{self.path} is a file: a collection is a directory.")
            if DESCRIPTORS:
                opened = Descriptor()
                _io.hold(opened.held, str(self.path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, None)
                found = os.fstat(int(opened))
                self._descriptor = opened
        except FileNotFoundError:
            return False
        except NotADirectoryError:
            raise CorruptStoreError(f"{self.path} lies in a file: a collection is a directory.") from None
        self._itself = _identity(found)
        return True

    def make(self) -> None:
        """Make the directory and its parents, if need be, and see their names to the disk."""
        missing = [self.path, *self.path.parents]
        missing = [place for place in missing if not place.exists()]
        for place in reversed(missing):
            _io.make_directory(place)
        # A process that was killed may have made the directory: its own name is seen to the disk anyway.
        for place in [one.parent for one in missing] or [self.path.parent]:
            sync(place)
        self.attach()

    def create(self, name: str) -> Descriptor:
        """Open a file to read and write; a missing one is made with the permissions that the umask allows.

        Raises:
            CorruptStoreError: it is a link, a FIFO, a device, a socket or a directory.
            StoreReplacedError: the directory was removed.
        """
        opened = Descriptor()
        path, held = self._at(name)
        try:
            with _regular(name):
                _io.open_file(opened.held, path, _number(held))
        except FileNotFoundError:  # it would have been made: the directory itself is gone
            raise _replaced(self.path) from None
        return _checked(opened, name)

    def open(self, name: str) -> Descriptor:
        """Open a file to read.

        Raises:
            FileNotFoundError: it is not there.
            CorruptStoreError: it is a link, a FIFO, a device, a socket or a directory.
        """
        opened = Descriptor()
        path, held = self._at(name)
        with _regular(name):
            _io.hold(opened.held, path, os.O_RDONLY | _io.FLAGS, _number(held))
        return _checked(opened, name)

    def status(self, name: str) -> os.stat_result | None:
        """Status of a file; None where there is none.

        Raises:
            CorruptStoreError: it is a link, a FIFO, a device, a socket or a directory.
        """
        path, held = self._at(name)
        try:
            found = os.stat(path, dir_fd=_number(held), follow_symlinks=False)
        except FileNotFoundError:
            return None
        if not stat.S_ISREG(found.st_mode):
            raise _not_ours(name)
        return found

    def names(self) -> list[str]:
        """Names of all that is in the directory; none where it is not there yet."""
        if not self.attach():
            return []
        if not DESCRIPTORS:
            return os.listdir(self.path)
        held = self._held()
        return os.listdir(int(held))

    def remove(self, name: str) -> None:
        """Take away a file's name, if it is there."""
        path, held = self._at(name)
        with suppress(FileNotFoundError):
            _io.remove(path, _number(held))

    def rename(self, old: str, new: str) -> None:
        """Give a file another name."""
        path, held = self._at(old)
        _io.rename(path, self._at(new)[0], _number(held))

    def sync(self) -> None:
        """See the names in the directory to the disk. Windows has no such call and keeps names in its journal."""
        if DESCRIPTORS:
            held = self._held()
            _io.fsync_directory(int(held))

    def by_path(self, name: str) -> Path:
        """A path to a file of the directory, wherever it is now, for a library that opens by path.

        Raises:
            StoreReplacedError: the directory is no longer at its path, and the system cannot say where.
        """
        if DESCRIPTORS:
            number = int(
                self._held()
            )  # a number that is stale leads to another directory: recognise() says so
            if os.path.isdir(f"/proc/self/fd/{number}"):
                return Path(f"/proc/self/fd/{number}") / name
            if sys.platform == "darwin":  # pragma: no cover
                import fcntl

                return Path(fcntl.fcntl(number, fcntl.F_GETPATH, bytes(1024)).rstrip(b"\0").decode()) / name
        with suppress(OSError):
            if _identity(os.stat(self.path)) == self._itself:
                return self.path / name
        raise _replaced(self.path)

    def recognise(self, opened_path: str) -> None:
        """Remember the catalogue that was opened, or compare it with the one that was opened first.

        Args:
            opened_path: where SQLite says that it opened the file.
        Raises:
            StoreReplacedError: that is another directory's.
        """
        ours = self.status(CATALOG)
        try:
            opened = _identity(os.stat(opened_path, follow_symlinks=False))
        except FileNotFoundError:
            opened = None
        if ours is None or _identity(ours) != opened or self._catalog not in (None, opened):
            raise _replaced(self.path)
        self._catalog = opened

    def check(self) -> None:
        """Look whether the catalogue is still the one that was opened, which costs one call of the system.

        Raises:
            StoreReplacedError: it was removed, or another took its place.
        """
        if self._catalog is None:
            return
        if not DESCRIPTORS:
            self.by_path(CATALOG)
        found = self.status(CATALOG)
        if found is None or _identity(found) != self._catalog:
            raise _replaced(self.path)

    def forget(self) -> None:
        """Take whatever catalogue is there: a new one was put there by ourselves."""
        self._catalog = None

    def close(self) -> None:
        """Let go of the directory as soon as nobody uses it."""
        self._closed = True
        self._descriptor = None

    def _held(self) -> Descriptor:
        descriptor = self._descriptor
        if descriptor is None:
            if self._closed:
                raise StoreClosedError(f"{self.path} was closed: open it again.")
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self.path))
        return descriptor

    def _at(self, name: str) -> tuple[str, Descriptor | None]:
        """A name, and what it is relative to: kept by the caller, so that no other thread closes it meanwhile."""
        return (name, self._held()) if DESCRIPTORS else (str(self.path / name), None)


def _number(held: Descriptor | None) -> int | None:
    return None if held is None else int(held)


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


@contextmanager
def _regular(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in NOT_OURS:
            raise _not_ours(name) from error
        raise


def _checked(opened: Descriptor, name: str) -> Descriptor:
    if not stat.S_ISREG(os.fstat(int(opened)).st_mode):
        opened.close()
        raise _not_ours(name)
    return opened


def sync(path: Path) -> None:
    """See the names in a directory to the disk."""
    if not DESCRIPTORS:
        return
    opened = Descriptor()
    with suppress(PermissionError):  # a parent may let us make a name in it and yet not read it
        _io.hold(opened.held, str(path), os.O_RDONLY | os.O_CLOEXEC, None)
        _io.fsync_directory(int(opened))
    opened.close()


def _not_ours(name: str) -> CorruptStoreError:
    return CorruptStoreError(
        f"{name} is a link, a FIFO, a device, a socket or a directory: a collection has regular files alone, and "
        "none is followed elsewhere. Restore the directory from a backup."
    )


def _replaced(path: Path) -> StoreReplacedError:
    return StoreReplacedError(
        f"the collection that was opened at {path} was removed, or another one took its place; nothing of the other "
        "one was read or changed. Open the collection again."
    )
