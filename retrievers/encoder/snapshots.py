"""What of a repository on the model hub lies in the cache, whether it is whole, and whether its bytes are the hub's.

The hub describes each file of a commit by its size and the name of its blob: sha256 of a large file, git's sha1 of a
small one. That description is kept beside the cached files with the list of those that were compared with it, so that
each is read once for it, and so that a later start knows without the hub whether something is missing.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

COMMIT = re.compile(r"[0-9a-f]{40}")
SHORT_COMMIT = re.compile(r"[0-9a-f]{7,39}")

# What sentence-transformers and transformers read of a checkpoint, and what they never do.
READ = ("*.json", "*.txt", "*.model", "*.tiktoken", "*.jinja", "*.metadata", "*.py", "*.safetensors", "*.bin")
BACKEND_READ: dict[str, tuple[str, ...]] = {
    "torch": (),
    "onnx": ("*.onnx", "*.onnx_data", "*.onnx.data"),
    "openvino": ("*openvino*.xml", "*openvino*.bin"),
}
CODE = ("*.py",)  # what is fetched of a repository that has code for a model of another one
NEVER = (
    "training_args.bin",
    "optimizer*",
    "scheduler*",
    "rng_state*",
    "checkpoint-*/*",
    "runs/*",
    "flax_*",
    "tf_*",
)
WEIGHTS = (".safetensors", ".bin")


@dataclass(frozen=True)
class Blob:
    """A file as the hub describes it: its size in bytes, and the name of its blob, hexadecimal."""

    size: int
    digest: str


@dataclass(frozen=True)
class Snapshot:
    """A commit of a repository in the cache.

    Attributes:
        directory: of its files.
        commit: 40 hexadecimal digits.
    """

    directory: Path
    commit: str


@dataclass
class Record:
    """What the hub said of a commit, and which of its files were compared with that."""

    files: dict[str, Blob] = field(default_factory=dict)
    checked: set[str] = field(default_factory=set)


def needed(paths: Iterable[str], backend: str) -> list[str]:
    """The files of a checkpoint that a backend reads, in order of their names.

    Where a directory has weights in both formats, safetensors are read and the pickles are not. Other backends need
    torch's weights as well: the model's identity is a digest of them. The backend "code" reads Python files alone.
    """
    patterns = CODE if backend == "code" else READ + BACKEND_READ.get(backend, ())
    found = sorted(path for path in paths if _matches(path, patterns) and not _matches(path, NEVER))
    found = [path for path in found if backend == "openvino" or not _matches(path, BACKEND_READ["openvino"])]
    safe = {PurePosixPath(path).parent for path in found if path.endswith(".safetensors")}
    return [
        path
        for path in found
        if not (_is_pickle(path) and PurePosixPath(path).parent in safe and "openvino" not in path)
    ]


def folder(cache: Path, name: str) -> Path:
    """The directory of a repository in the cache."""
    from huggingface_hub.file_download import repo_folder_name

    return cache / repo_folder_name(repo_id=name, repo_type="model")


def commit_of(repository: Path, revision: str | None) -> str | None:
    """The commit that a branch, a tag or a commit stands for in the cache; None if it is not there."""
    revision = revision or "main"
    with suppress(OSError, ValueError):
        commit = (repository / "refs" / revision).read_text("ascii").strip()
        if COMMIT.fullmatch(commit):
            return commit
    if COMMIT.fullmatch(revision):
        return revision
    if SHORT_COMMIT.fullmatch(revision) and (repository / "snapshots").is_dir():
        found = [path.name for path in (repository / "snapshots").iterdir() if path.name.startswith(revision)]
        return found[0] if len(found) == 1 else None
    return None


def read_record(repository: Path, commit: str) -> Record | None:
    """The record of a commit; None if there is none that can be read."""
    try:
        stored = json.loads(_record_path(repository, commit).read_text("utf-8"))
        files = {path: Blob(int(size), str(digest)) for path, (size, digest) in stored["files"].items()}
        return Record(files, set(stored["checked"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def write_record(repository: Path, commit: str, record: Record) -> None:
    """Keep a record. A cache that cannot be written keeps none: its files are then compared at each start."""
    content = {
        "files": {path: [blob.size, blob.digest] for path, blob in record.files.items()},
        "checked": sorted(record.checked),
    }
    place = _record_path(repository, commit)
    made = place.with_name(
        f"{commit}.{os.getpid()}-{threading.get_ident()}"
    )  # with the user's own permissions
    with suppress(OSError):
        place.parent.mkdir(exist_ok=True)
        made.write_text(json.dumps(content), "utf-8")
        os.replace(made, place)


def missing(directory: Path, record: Record, backend: str) -> list[str]:
    """Needed files of a commit that were not fetched, not compared, or are no longer as long as they were."""
    return [path for path in needed(record.files, backend) if not _stands(directory, path, record)]


def damaged(directory: Path, paths: Iterable[str], files: Mapping[str, Blob]) -> list[str]:
    """Those of the files whose bytes are not the ones that the hub described."""
    return [path for path in paths if blob_digest(directory / path, files[path]) != files[path].digest]


def unrecorded_damage(directory: Path) -> list[str]:
    """Damaged files of a snapshot that was fetched by another program: blobs that do not match their names."""
    found = []
    for path in sorted(directory.rglob("*")):
        name = path.resolve().name if path.is_symlink() else ""
        if path.is_file() and re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", name):
            if blob_digest(path, Blob(path.stat().st_size, name)) != name:
                found.append(path.relative_to(directory).as_posix())
        elif path.is_symlink() and not path.exists():
            found.append(path.relative_to(directory).as_posix())
    return found


def remove(directory: Path, paths: Iterable[str]) -> None:
    """Remove files of a snapshot and their blobs, so that the next fetch brings them anew."""
    for path in paths:
        place = directory / path
        if place.is_symlink():
            place.resolve().unlink(missing_ok=True)
        place.unlink(missing_ok=True)


def blob_digest(path: Path, blob: Blob) -> str:
    """The digest of a file, of the kind by which the hub names it; empty if the file is not there."""
    try:
        with path.open("rb") as file:
            if len(blob.digest) == 64:
                return hashlib.file_digest(file, "sha256").hexdigest()
            content = file.read()
    except FileNotFoundError:
        return ""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _stands(directory: Path, path: str, record: Record) -> bool:
    try:
        return path in record.checked and (directory / path).stat().st_size == record.files[path].size
    except OSError:
        return False


def _record_path(repository: Path, commit: str) -> Path:
    return repository / "maxsim-retrievers" / f"{commit}.json"


def _matches(path: str, patterns: Iterable[str]) -> bool:
    name = PurePosixPath(path).name
    return any(fnmatch(path, pattern) or fnmatch(name, pattern) for pattern in patterns)


def _is_pickle(path: str) -> bool:
    return path.endswith((".bin", ".bin.index.json"))
