"""A user's own files: which of them lie below a path, which are left out and why, and the text of each."""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from retrievers import arguments
from retrievers.cli.html import page_text
from retrievers.errors import InvalidInputError

KINDS = {
    ".txt": "text",
    ".text": "text",
    ".rst": "text",
    ".md": "markdown",
    ".markdown": "markdown",
    ".html": "html",
    ".htm": "html",
}


@dataclass(frozen=True, slots=True)
class File:
    """A file of a known kind.

    Attributes:
        name: its path relative to the folder that was named, with forward slashes.
        path: where it lies.
        kind: text, markdown or html.
        link: whether a link may lead to it.
    """

    name: str
    path: Path
    kind: str
    link: bool = False


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file or folder that is not read.

    Attributes:
        name: its path relative to the folder that was named.
        reason: a few words, equal for all that are left out for the same reason.
        expected: whether it is of no interest rather than at fault: hidden, a link, a kind that has no reader.
    """

    name: str
    reason: str
    expected: bool


@dataclass(slots=True)
class Scan:
    """What lies below a path.

    Attributes:
        root: the folder, absolute and with links resolved, with forward slashes.
        whole: whether a folder was named, and not one file of it.
        files: sorted by name.
        left_out: in the order in which they were met.
        unread: names of folders that could not be listed, so that nobody knows what is in them.
    """

    root: str
    whole: bool
    files: list[File] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)


class UnreadableFileError(InvalidInputError):
    """A file's text cannot be had; the message is the reason."""


def scan(path: Path, *, follow_links: bool = False) -> Scan:
    """The files below a path. Hidden ones are left out, and links, unless they are to be followed.

    A link that is followed leads to each file and folder once, however many lead there, so that loops end.

    Args:
        path: a folder, or one file of a known kind; either may be named by a link.
        follow_links: take the files and folders that links lead to, also outside of the folder.
    Raises:
        InvalidInputError: nothing lies at the path, or neither a folder nor a regular file, or a file of a kind
            that has no reader.
    """
    try:
        mode = path.stat().st_mode
    except OSError as error:
        reason = "nothing lies there" if isinstance(error, FileNotFoundError) else error.strerror
        raise InvalidInputError(f"{str(path)!r} cannot be read: {reason}. Give a folder or a file.") from None
    if stat.S_ISDIR(mode):
        found = Scan(path.resolve().as_posix(), whole=True)
        _walk(path, follow_links, found)
        found.files.sort(key=lambda file: file.name)
        return found
    kind = KINDS.get(path.suffix.lower())
    if not stat.S_ISREG(mode) or kind is None:
        raise InvalidInputError(
            f"{str(path)!r} is no folder and no file that ends in one of {', '.join(sorted(KINDS))}."
        )
    return Scan(path.parent.resolve().as_posix(), whole=False, files=[File(path.name, path, kind, link=True)])


def text_of(file: File) -> str:
    """The text: a Markdown file as it is, of an HTML file what a browser shows.

    Raises:
        UnreadableFileError: the system refuses, it is no regular file any more, too large, or not UTF-8.
    """
    # Between the listing and now a stranger may have put a link, a pipe or a device in the file's place.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(file.path, flags) if file.link else _open_below(file.path, file.name, flags)
        with open(descriptor, encoding="utf-8-sig") as stream:
            status = os.fstat(stream.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise UnreadableFileError("not a regular file")
            if status.st_size > arguments.TEXT_BYTES:
                raise UnreadableFileError(f"larger than {arguments.TEXT_BYTES} bytes")
            text = stream.read()
    except UnicodeDecodeError:
        raise UnreadableFileError("not UTF-8") from None
    except OSError as error:
        raise UnreadableFileError(error.strerror or type(error).__name__) from None
    return page_text(text) if file.kind == "html" else text


def _walk(top: Path, follow_links: bool, found: Scan) -> None:
    """Fill a scan: everything that is no link first, then what the links lead to and has not been met."""
    met: set[tuple[int, int]] = set()
    links: deque[tuple[str, Path]] = deque()
    folders: list[tuple[str, Path, bool]] = [("", top, False)]
    while folders or links:
        if not folders:
            name, path = links.popleft()
            _take(name, path, True, met, folders, found)
            continue
        name, path, linked = folders.pop()
        for entry in _entries(name, path, linked, met, found):
            below = f"{name}/{entry.name}" if name else entry.name
            if entry.name.startswith("."):
                found.left_out.append(LeftOut(below, "hidden", True))
            elif not _is_text(entry.name):
                found.left_out.append(LeftOut(below, "a name that is not UTF-8", False))
            elif not entry.is_symlink():
                _take(below, path / entry.name, linked, met, folders, found)
            elif follow_links:
                links.append((below, path / entry.name))
            else:
                found.left_out.append(LeftOut(below, "link", True))


def _open_below(path: Path, name: str, flags: int) -> int:
    """Open a file or folder by its path below the folder that was named, with no link on the way.

    Each folder is opened from the one that it lies in: one that was moved away, with a link put in its place, would
    lead out of the folder that was named.

    Args:
        path: where it lies.
        name: the last parts of the path, those below the folder that was named; none for that folder itself.
    Raises:
        OSError: a part of the name is a link, or the system refuses.
    """
    parts = name.split("/") if name else []
    if os.open not in os.supports_dir_fd:  # Windows: the last part alone is looked at
        return os.open(path, flags)
    top = path.parents[len(parts) - 1] if parts else path
    inside = os.open(top, os.O_RDONLY | os.O_DIRECTORY if parts else flags)
    for place, part in enumerate(parts):
        try:
            how = flags if place == len(parts) - 1 else os.O_RDONLY | os.O_DIRECTORY
            below = os.open(part, how | os.O_NOFOLLOW, dir_fd=inside)
        finally:
            os.close(inside)
        inside = below
    return inside


@contextmanager
def _listing(name: str, path: Path, linked: bool) -> Iterator[Iterator[os.DirEntry[str]]]:
    """What a folder holds, by its descriptor where the system lists one."""
    if linked or os.scandir not in os.supports_fd:
        with os.scandir(path) as listing:
            yield listing
        return
    descriptor = _open_below(path, name, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with os.scandir(descriptor) as listing:
            yield listing
    finally:
        os.close(descriptor)


def _entries(
    name: str, path: Path, linked: bool, met: set[tuple[int, int]], found: Scan
) -> Iterator[os.DirEntry[str]]:
    """What a folder holds, sorted, so that two runs meet the same file first."""
    try:
        status = path.stat()
        met.add((status.st_dev, status.st_ino))
        with _listing(name, path, linked) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
            for entry in entries:
                entry.is_symlink()  # remembered, where the descriptor is needed for it
    except OSError as error:
        found.left_out.append(LeftOut(name or ".", f"folder: {error.strerror}", False))
        found.unread.append(name)
        return
    yield from entries


def _take(
    name: str,
    path: Path,
    linked: bool,
    met: set[tuple[int, int]],
    folders: list[tuple[str, Path, bool]],
    found: Scan,
) -> None:
    """Add one file, or put one folder on the list, or leave it out."""
    try:
        status = path.stat() if linked else path.lstat()
    except OSError as error:
        found.left_out.append(LeftOut(name, error.strerror or type(error).__name__, False))
        return
    identity = (status.st_dev, status.st_ino)
    if linked and identity in met:
        found.left_out.append(LeftOut(name, "link to what was read already", True))
        return
    suffix = path.suffix.lower()
    if stat.S_ISDIR(status.st_mode):
        folders.append((name, path, linked))
    elif not stat.S_ISREG(status.st_mode):
        found.left_out.append(LeftOut(name, "not a regular file", True))
    elif suffix not in KINDS:
        found.left_out.append(LeftOut(name, suffix or "no ending", True))
    else:
        met.add(identity)
        found.files.append(File(name, path, KINDS[suffix], linked))


def _is_text(name: str) -> bool:
    """Whether a name can be stored: the system gives bytes that are not UTF-8 as halves of surrogate pairs."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
