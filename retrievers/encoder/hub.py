"""A model's files from the model hub: fetched whole into its cache and compared with what the hub said of them.

huggingface_hub fetches, resumes, locks and keeps revisions. What is added here: a model that is cached starts without
the hub, or after one short question to it; every file is compared once with its description; nothing starts with a
part of its files; and every failure says what to do.
"""

from __future__ import annotations

import glob
import time
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

from retrievers.encoder import snapshots
from retrievers.encoder.hub_errors import explained, is_failure, not_cached, reason
from retrievers.encoder.patience import patiently
from retrievers.encoder.snapshots import COMMIT, Blob, Record, Snapshot
from retrievers.encoder.source import Source
from retrievers.errors import DamagedModelError

# Seconds to wait for the hub: where a cached model could start, and where there is none.
CACHED_TIMEOUT = 3.0
HUB_TIMEOUT = 10.0


@dataclass(frozen=True)
class CachedModel:
    """A commit of a model in the cache.

    Attributes:
        name: of the repository.
        commit: 40 hexadecimal digits.
        revisions: branches and tags that stand for it.
        size: bytes of its files.
        directory: of its files.
    """

    name: str
    commit: str
    revisions: tuple[str, ...]
    size: int
    directory: Path


def fetch(source: Source, backend: str = "torch") -> Snapshot:
    """The files of a model, all that the backend needs, from the cache or from the hub.

    Raises:
        ModelNotFoundError: no such repository or revision, no access, no network, or no room; see hub_errors.
        DamagedModelError: what the hub sent is, twice, not what it said of it.
    Warns:
        UserWarning: the hub did not answer, and the cached commit is used.
    """
    from huggingface_hub.errors import HFValidationError

    try:
        repository = snapshots.folder(source.cache, source.name)
    except HFValidationError as error:
        raise explained(error, source) from error
    cached = _cached(repository, source, backend)
    if cached is not None and cached.commit == source.revision:
        return cached  # a commit never changes
    if source.local_files_only or _is_offline():
        if cached is None:
            raise not_cached(source, None)
        return cached
    try:
        if cached is None:
            commit, files = patiently(lambda: _describe(source, HUB_TIMEOUT), _wait)
        else:
            commit, files = _within(CACHED_TIMEOUT, source)
            if commit == cached.commit and snapshots.commit_of(repository, source.revision) == commit:
                return cached
        return _download(repository, source, backend, commit, files)
    except Exception as error:
        if not is_failure(error):
            raise
        if cached is None:
            raise explained(error, source) from error
        warnings.warn(
            f"The hub did not give {source.name!r}: {reason(error, source)}. The commit in the cache is used, "
            f"{cached.commit}.",
            stacklevel=2,
        )
        return cached


def verify(source: Source, backend: str = "torch") -> list[str]:
    """Read a cached model's files again and compare each with what the hub said of it.

    Returns:
        Those that are damaged, relative to the commit's directory; an empty list is a sound model.
    Raises:
        ModelNotFoundError: the cache has no whole copy of the model.
    """
    repository = snapshots.folder(source.cache, source.name)
    cached = _cached(repository, source, backend)
    if cached is None:
        raise not_cached(replace(source, local_files_only=True), None)
    record = snapshots.read_record(repository, cached.commit)
    if record is None:
        return snapshots.unrecorded_damage(cached.directory)
    return snapshots.damaged(cached.directory, snapshots.needed(record.files, backend), record.files)


def discard_damaged(source: Source, backend: str = "torch") -> list[str]:
    """Remove the damaged files of a cached model, so that the next fetch brings them anew.

    Returns:
        Those that were removed; an empty list where the model is sound or not cached.
    """
    repository = snapshots.folder(source.cache, source.name)
    cached = _cached(repository, source, backend)
    if cached is None:
        return []
    broken = verify(source, backend)
    snapshots.remove(cached.directory, broken)
    return broken


def newest_commit(source: Source) -> str | None:
    """The commit of the main branch, as the hub has it now, else as the cache has it; None if neither tells."""
    main = replace(source, revision=None)
    if not (source.local_files_only or _is_offline()):
        try:
            return _within(CACHED_TIMEOUT, main)[0]
        except Exception as error:
            if not is_failure(error):
                raise
    return snapshots.commit_of(snapshots.folder(source.cache, source.name), None)


def cached_models(cache_folder: str | None = None) -> list[CachedModel]:
    """The late-interaction and other models in the cache, by name and commit; no file of them is read."""
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        found = scan_cache_dir(Source("", cache_folder=cache_folder).cache)
    except CacheNotFound:
        return []
    models = [
        CachedModel(
            repository.repo_id,
            one.commit_hash,
            tuple(sorted(one.refs)),
            one.size_on_disk,
            Path(one.snapshot_path),
        )
        for repository in found.repos
        if repository.repo_type == "model"
        for one in repository.revisions
    ]
    return sorted(models, key=lambda model: (model.name, model.commit))


def _cached(repository: Path, source: Source, backend: str) -> Snapshot | None:
    """The commit that is asked for, if the cache has all of it."""
    commit = snapshots.commit_of(repository, source.revision)
    if commit is None:
        return None
    snapshot = Snapshot(repository / "snapshots" / commit, commit)
    record = snapshots.read_record(repository, commit)
    if record is not None:
        return None if snapshots.missing(snapshot.directory, record, backend) else snapshot
    # Another program fetched it, and only huggingface_hub can tell whether that was all.
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        snapshot_download(
            source.name,
            revision=commit,
            cache_dir=source.cache,
            local_files_only=True,
            allow_patterns=list(snapshots.READ),
            ignore_patterns=[*snapshots.NEVER, "*.bin"],
        )
    except (LocalEntryNotFoundError, ValueError):
        return None
    present = [name for name in ("config.json", "modules.json") if (snapshot.directory / name).exists()]
    if not present and backend != "code":
        return None
    return None if snapshots.unrecorded_damage(snapshot.directory) else snapshot


def _describe(source: Source, timeout: float) -> tuple[str, dict[str, Blob]]:
    """The commit that the hub has for a revision, and its files."""
    from huggingface_hub import HfApi

    info: Any = HfApi(token=source.token).model_info(
        source.name, revision=source.revision, files_metadata=True, timeout=timeout
    )
    files = {
        one.rfilename: Blob(int(one.size or 0), one.lfs.sha256 if one.lfs else str(one.blob_id))
        for one in info.siblings or ()
    }
    return str(info.sha), files


def _within(seconds: float, source: Source) -> tuple[str, dict[str, Blob]]:
    """_describe, or TimeoutError: the client's own timeout starts again with each byte that arrives."""
    answers: SimpleQueue[tuple[str, dict[str, Blob]] | Exception] = SimpleQueue()

    def ask() -> None:
        try:
            answers.put(_describe(source, seconds))
        except Exception as error:
            answers.put(error)

    Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=seconds)
    except Empty:
        raise TimeoutError(f"no answer within {seconds:g} seconds") from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def _download(
    repository: Path, source: Source, backend: str, commit: str, files: dict[str, Blob]
) -> Snapshot:
    """Fetch what is missing of a commit, compare it, and then let the branch or tag stand for it."""
    record = snapshots.read_record(repository, commit) or Record()
    record.files |= files
    wanted = snapshots.needed(files, backend)
    directory = repository / "snapshots" / commit
    # A file that went since it was compared comes anew, and one that became shorter does not count as fetched.
    new = snapshots.missing(directory, record, backend)
    for last in (False, True):
        _snapshot_download(source, commit, wanted)
        broken = snapshots.damaged(directory, new, files)
        if not broken:
            record.checked |= set(new)
            snapshots.write_record(repository, commit, record)
            break
        snapshots.remove(directory, broken)
        if last:
            raise DamagedModelError(
                f"The model {source.name!r} cannot be had: {', '.join(broken)} arrived damaged twice, which means "
                "that the bytes are not those that the hub describes. They were removed from the cache. Try again "
                "later, or over another network."
            )
    # Only now: a branch must not stand for a commit of which the cache has a part.
    if not COMMIT.fullmatch(source.revision or ""):
        _snapshot_download(source, source.revision, wanted, bar=False)  # nothing comes any more
    return Snapshot(directory, commit)


def _snapshot_download(source: Source, revision: str | None, wanted: list[str], *, bar: bool = True) -> None:
    from huggingface_hub import snapshot_download
    from tqdm import tqdm

    class Silent(tqdm):  # type: ignore[misc]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **{**options, "disable": True})

    snapshot_download(
        source.name,
        revision=revision,
        cache_dir=source.cache,
        token=source.token,
        etag_timeout=HUB_TIMEOUT,
        allow_patterns=[glob.escape(path) for path in wanted],
        tqdm_class=None if bar else Silent,
    )


def _wait(seconds: float) -> None:
    time.sleep(seconds)


def _is_offline() -> bool:
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)
