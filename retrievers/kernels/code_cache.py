"""Machine code on disk: whoever could write a file here could run code as this user, so only our own are read.

The directory and its files belong to this user, nobody else may write them, and no link is followed. Where that is
not so, nothing is read or written, and code is compiled for this process alone.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

VARIABLE = "RETRIEVERS_CACHE_DIR"

_DIGEST = hashlib.sha256().digest_size
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_PERMISSIONS = hasattr(
    os, "geteuid"
)  # Windows has no such modes; there the cache lies in the user's own folder
# Without O_NONBLOCK a pipe would hold up whoever opens it.
_SAFE = sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"))


def directory() -> Path | None:
    """Where machine code is kept: RETRIEVERS_CACHE_DIR, else the user's cache directory; None for nowhere."""
    given = os.environ.get(VARIABLE)
    if given is not None:
        return Path(given) if given else None
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA")
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    if not base:
        return None
    try:
        return Path(base).expanduser() / "maxsim-retrievers"
    except RuntimeError:  # this user has no home
        return None


def read(key: str) -> bytes | None:
    """Machine code of a key; None if there is none, if it was damaged, or if another user may have written it."""
    place = directory()
    if place is None:
        return None
    try:
        with _Folder(place) as folder, folder.open(f"{key}.o", os.O_RDONLY) as file:
            _check(file.fileno(), stat.S_ISREG)
            content = file.read()
    except OSError:
        return None
    digest, code = content[:_DIGEST], content[_DIGEST:]
    return code if digest == _digest(key, code) else None


def write(key: str, code: bytes) -> None:
    """Keep machine code, whole or not at all; a place that cannot be used costs a compilation, no more."""
    place = directory()
    if place is None:
        return
    with suppress(OSError):
        _create(place)
        with _Folder(place) as folder:
            folder.publish(f"{key}.o", _digest(key, code) + code)


class _Folder:
    """A directory that was opened and checked; its files are opened relative to it, whatever its path means by then.

    Raises:
        OSError: on entering: it is no directory, cannot be opened, or another user may write it.
    """

    def __init__(self, place: Path) -> None:
        self._place = place
        self._descriptor: int | None = None

    def __enter__(self) -> _Folder:
        if _PERMISSIONS:
            self._descriptor = os.open(self._place, os.O_RDONLY | os.O_DIRECTORY | _SAFE)
            try:
                _check(self._descriptor, stat.S_ISDIR)
            except BaseException:
                self.__exit__()
                raise
        return self

    def __exit__(self, *error: object) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)

    def open(self, name: str, flags: int) -> BinaryIO:
        """A file of the directory, created for this user alone where the flags create it."""
        descriptor = os.open(self._at(name), flags | _SAFE, 0o600, dir_fd=self._descriptor)
        return os.fdopen(descriptor, "rb" if flags & os.O_WRONLY == 0 else "wb")

    def publish(self, name: str, content: bytes) -> None:
        """Write a file under a name of its own, then give it the right one in a single step."""
        part = f"{secrets.token_hex(8)}.part"
        try:
            with self.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL) as file:
                if _PERMISSIONS:
                    os.fchmod(file.fileno(), 0o600)  # the umask may have taken away even the user's own
                file.write(content)
            here = self._descriptor
            os.replace(self._at(part), self._at(name), src_dir_fd=here, dst_dir_fd=here)
        except BaseException:
            with suppress(OSError):
                os.unlink(self._at(part), dir_fd=self._descriptor)
            raise

    def _at(self, name: str) -> str | Path:
        return self._place / name if self._descriptor is None else name


def _check(descriptor: int, is_kind: Callable[[int], bool]) -> None:
    """Refuse what is not of the kind expected, is another user's, or may be written by another."""
    if not _PERMISSIONS:
        return
    found = os.fstat(descriptor)
    if not is_kind(found.st_mode):
        raise OSError("it is not of the kind expected")
    if found.st_uid != os.geteuid() or found.st_mode & _OTHERS_WRITE:
        raise PermissionError("another user may have written it")


def _create(place: Path) -> None:
    """Make a directory and its parents, for this user alone whatever the umask says."""
    missing = [folder for folder in (place, *place.parents) if not folder.exists()]
    for folder in reversed(missing):
        with suppress(FileExistsError):  # another process was faster, or a link leads nowhere
            folder.mkdir(mode=0o700)
            folder.chmod(0o700)


def _digest(key: str, code: bytes) -> bytes:
    """Of the key too, so that a file under another's name is not taken for it."""
    return hashlib.sha256(key.encode() + code).digest()
