"""A model's name to sentence-transformers' MultiVectorEncoder, or to an error that says what to do."""

from __future__ import annotations

import logging
import os
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retrievers.encoder import checkpoint, code, hub
from retrievers.encoder.checkpoint import Layout
from retrievers.encoder.hub_errors import no_directory
from retrievers.encoder.offline.registry import OFFLINE
from retrievers.encoder.source import Runtime, Source
from retrievers.errors import (
    DamagedModelError,
    DeviceMemoryError,
    InvalidInputError,
    MissingExtraError,
    RetrieversError,
)
from retrievers.kernels.fork import awaited, let_torch_run

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

    from retrievers.encoder.network import Network

SHOWN = 300  # characters of another library's message that ours repeats
# transformers' from_pretrained is replaced while a model loads, by one thread at a time.
_loading = awaited(threading.RLock)


@dataclass(frozen=True)
class Checkpoint:
    """A loaded model and where it was found.

    Attributes:
        model: in the number format of its weights.
        kind: "hub", "directory" or "package".
        name: on the hub, of the offline model, or the absolute path of the directory.
        commit: on the hub; None for the others.
        layout: its files; None for an offline model.
        weights: sha256 of an offline model's weights, hexadecimal.
        code: repositories whose code was run, and their commits.
        mean_weight, query_weights: what the model is used with, unless the user says otherwise.
    """

    model: Network
    kind: str
    name: str
    commit: str | None = None
    layout: Layout | None = None
    weights: str = ""
    code: Mapping[str, str] = field(default_factory=dict)
    mean_weight: float = 0.0
    query_weights: tuple[str, ...] = ()


def load(source: Source, runtime: Runtime) -> Checkpoint:
    """Load a late-interaction checkpoint: native, PyLate or Stanford ColBERT, from a directory or the hub.

    Raises:
        ModelNotFoundError: no such directory, no such model, no access, or no network; see hub_errors.
        DamagedModelError: its files are incomplete or damaged.
        InvalidInputError: the checkpoint has no late-interaction head, is a model of page images, or needs code that
            is not trusted; the device does not exist; a revision of what has none was asked for; or an offline model
            on another backend than torch.
        MissingExtraError: an offline model's package, or a package of the backend, is not installed.
        DeviceMemoryError: the device has no room for the model.
    """
    let_torch_run()
    _check_device(runtime.device)
    if source.name in OFFLINE:
        _check_no_revision(source, "comes with a Python package")
        return _offline(source.name, runtime)
    if os.path.isdir(source.name):
        _check_no_revision(source, "is a directory")
        directory, commit, kind = Path(source.name).resolve(), None, "directory"
    elif source.is_path:
        raise no_directory(source)
    else:
        snapshot = hub.fetch(source, runtime.backend)
        directory, commit, kind = snapshot.directory, snapshot.commit, "hub"
    layout = checkpoint.read(source.name, directory, runtime.backend)
    checkpoint.check_trust(layout, source.trust_remote_code, commit)
    repositories = code.fetch(layout, source, (runtime.model_kwargs or {}).get("code_revision"))
    with code.beside(layout, repositories) as place:
        model = _load_directory(place, source, runtime)
    name = str(directory) if kind == "directory" else source.name
    commits = {repository: snapshot.commit for repository, snapshot in repositories.items()}
    return Checkpoint(model, kind, name, commit, layout, code=commits)


def _load_directory(directory: Path, source: Source, runtime: Runtime) -> MultiVectorEncoder:
    with quiet():
        from sentence_transformers import MultiVectorEncoder

        try:
            with missing_weights() as missing:
                model = MultiVectorEncoder(
                    str(directory),
                    device=runtime.device,
                    backend=runtime.backend,  # type: ignore[arg-type]
                    prompts=dict(runtime.prompts) if runtime.prompts else None,
                    cache_folder=str(source.cache),
                    local_files_only=True,
                    trust_remote_code=source.trust_remote_code,
                    model_kwargs=_without_code_revision(runtime.model_kwargs),
                    processor_kwargs=dict(runtime.processor_kwargs or {}),
                    config_kwargs=dict(runtime.config_kwargs or {}),
                )
        except Exception as error:
            raise _explained(error, source.name) from error
    checkpoint.check_missing(source.name, missing)
    return model


def _without_code_revision(options: Mapping[str, Any] | None) -> dict[str, Any]:
    """model_kwargs without what was used before: the code lies beside the checkpoint by now."""
    return {name: value for name, value in (options or {}).items() if name != "code_revision"}


def _explained(error: Exception, name: str) -> Exception:
    """What a library raised while it loaded, as an error of ours."""
    import torch

    if isinstance(error, (RetrieversError, MemoryError)):
        return error
    said = " ".join(str(error).split())
    what = f"{type(error).__name__}: {said[:SHOWN]}" if said else type(error).__name__
    if isinstance(error, ImportError):
        return MissingExtraError(f"The model {name!r} cannot be loaded, a package is missing: {error}")
    if isinstance(error, torch.OutOfMemoryError):
        return DeviceMemoryError(f"The model {name!r} does not fit on the device: {said[:SHOWN]}")
    return DamagedModelError(
        f"The model {name!r} cannot be loaded: {what}. Either a file of it is damaged, or this version of transformers "
        "or sentence-transformers does not know its kind, or model_kwargs, processor_kwargs or config_kwargs have "
        "what it cannot take."
    )


def _offline(name: str, runtime: Runtime) -> Checkpoint:
    if runtime.backend != "torch":
        raise InvalidInputError(
            f"backend is {runtime.backend!r}: {name!r} runs on torch alone. Save it as a checkpoint, "
            f"LateInteractionEncoder({name!r}, mean_weight=0).model.save_pretrained(directory), and name the directory."
        )
    with quiet():
        offline = OFFLINE[name]()
        offline.model.to(runtime.device or _best_device())
        offline.model.prompts.update(runtime.prompts or {})
    return Checkpoint(
        offline.model,
        "package",
        name,
        weights=offline.weights,
        mean_weight=offline.mean_weight,
        query_weights=offline.query_weights,
    )


def _best_device() -> str:
    """What sentence-transformers would take: a GPU if there is one, that of this process where several share a job."""
    import torch

    found = torch.accelerator.current_accelerator(check_available=True)
    if found is None:
        return "cpu"
    rank = os.environ.get("LOCAL_RANK", "")
    return f"cuda:{rank}" if found.type == "cuda" and rank.isdecimal() else found.type


def _check_device(device: str | None) -> None:
    if device is None:
        return
    import torch

    try:
        torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise InvalidInputError(f"device is {device!r}, which torch does not know: {error}") from error


def _check_no_revision(source: Source, what: str) -> None:
    if source.revision is not None:
        raise InvalidInputError(
            f"revision is {source.revision!r}, and the model {source.name!r} {what}, so that it has no revisions. "
            "Leave the revision out, or name a repository on the hub."
        )


@contextmanager
def missing_weights() -> Iterator[list[str]]:
    """The list fills with the names of weights that from_pretrained, called inside, found in no file.

    transformers draws random numbers for these, and tells only who asks with output_loading_info; who calls it for
    us, sentence-transformers, does not.
    """
    from transformers import PreTrainedModel

    missing: list[str] = []
    thread = threading.get_ident()
    original: Any = PreTrainedModel.__dict__["from_pretrained"]

    def from_pretrained(cls: type, *arguments: Any, **options: Any) -> Any:
        if threading.get_ident() != thread or options.get("output_loading_info"):
            return original.__func__(cls, *arguments, **options)
        model, report = original.__func__(cls, *arguments, **options, output_loading_info=True)
        missing.extend(report["missing_keys"])
        missing.extend(str(key[0]) for key in report.get("mismatched_keys", ()))
        return model

    with _loading.lock:
        PreTrainedModel.from_pretrained = classmethod(from_pretrained)  # type: ignore[method-assign,assignment]
        try:
            yield missing
        finally:
            PreTrainedModel.from_pretrained = original  # type: ignore[method-assign]


@contextmanager
def quiet() -> Iterator[None]:
    """No log line, warning or progress bar of transformers and sentence-transformers inside."""
    from transformers.utils import logging as transformers_logging

    bars, level = transformers_logging.is_progress_bar_enabled(), transformers_logging.get_verbosity()
    sentence_transformers = logging.getLogger("sentence_transformers")
    sentence_level = sentence_transformers.level
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    sentence_transformers.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        transformers_logging.set_verbosity(level)
        sentence_transformers.setLevel(sentence_level)
        if bars:
            transformers_logging.enable_progress_bar()
