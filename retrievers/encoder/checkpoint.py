"""A checkpoint's directory, read and checked before anything of it is loaded.

The libraries that load it go on without a file that they do not find, without code that they may not run, and with
random numbers for weights that are not there. What could end so is found here, and named.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from retrievers.encoder.snapshots import WEIGHTS, needed
from retrievers.errors import DamagedModelError, InvalidInputError

# The most that a checkpoint may ask for: above what any has, and below what keeps a computer busy for ever.
LIMITS = {
    "num_hidden_layers": 1 << 10,
    "hidden_size": 1 << 16,
    "intermediate_size": 1 << 20,
    "vocab_size": 1 << 24,
    "max_position_embeddings": 1 << 24,
}
# Where a checkpoint says how many tokens it reads, by file.
LENGTHS = {
    "sentence_bert_config.json": ("query_length", "document_length", "max_seq_length"),
    "config_sentence_transformers.json": ("query_length", "document_length"),
    "artifact.metadata": ("query_maxlen", "doc_maxlen"),
}
OWN_MODULES = ("sentence_transformers.", "pylate.")
ADVICE = "Name a ColBERT checkpoint, such as 'LiquidAI/LFM2-ColBERT-350M' or 'lightonai/LateOn'."


@dataclass(frozen=True)
class Layout:
    """What a checkpoint's directory has.

    Attributes:
        name: that the user gave.
        directory: of the files.
        files: relative paths, with slashes, of those that a backend reads.
        json: content of those that are JSON.
        modules: entries of modules.json; none in a Stanford ColBERT.
        code: references to code that comes with the checkpoint, by file.
    """

    name: str
    directory: Path
    files: tuple[str, ...]
    json: Mapping[str, Any]
    modules: Sequence[Mapping[str, str]] = ()
    code: Mapping[str, str] = field(default_factory=dict)

    @property
    def config(self) -> Mapping[str, Any]:
        """config.json of transformers' model."""
        return self.json.get(self.transformer_path + "config.json") or {}

    @property
    def transformer_path(self) -> str:
        """Directory of transformers' model in the checkpoint: empty, or with a slash at its end."""
        for module in self.modules:
            if module["type"].endswith("Transformer"):
                return module["path"] + "/" if module["path"] else ""
        return ""


def read(name: str, directory: Path, backend: str) -> Layout:
    """Read and check a checkpoint's directory.

    Raises:
        DamagedModelError: a file is missing, unreadable, or has a value that cannot be.
        InvalidInputError: it is no late-interaction model of texts.
    """
    found = [path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file()]
    files = tuple(needed(found, backend))
    contents = {
        path: _read_json(name, directory, path) for path in files if path.endswith((".json", ".metadata"))
    }
    modules = _modules(name, contents.get("modules.json"))
    layout = Layout(name, directory, files, contents, modules, _code(contents, modules))
    if not layout.config:
        raise _damaged(name, f"there is no {layout.transformer_path}config.json in {directory}")
    _check_late_interaction(layout)
    _check_numbers(layout)
    _check_weights(layout)
    return layout


def check_trust(layout: Layout, trusted: bool, commit: str | None) -> None:
    """Refuse a checkpoint that needs code of its own: without it, it would be loaded as another model.

    Raises:
        InvalidInputError: it has code, and trust_remote_code is not set.
    """
    if trusted or not layout.code:
        return
    references = ", ".join(f"{reference} in {file}" for file, reference in layout.code.items())
    at = f" at commit {commit}" if commit else ""
    raise InvalidInputError(
        f"The model {layout.name!r}{at} comes with Python code of its own ({references}). Without that code it would "
        "be loaded as another model. Read the code, and if you trust it, load the model with trust_remote_code=True"
        + (f" and revision={commit!r}." if commit else ".")
    )


def check_missing(name: str, keys: Sequence[str]) -> None:
    """Refuse a model some of whose weights were in no file: they would be random numbers.

    Args:
        name: that the user gave.
        keys: weights that were not found. Those of a pooler do not matter: late interaction does not use it.
    Raises:
        DamagedModelError: others than a pooler's are missing.
    """
    missing = sorted(key for key in keys if "pooler" not in key.split("."))
    if missing:
        shown = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
        raise _damaged(name, f"its files lack the weights {shown}, which would be random numbers")


def _read_json(name: str, directory: Path, path: str) -> Any:
    try:
        text = (directory / path).read_bytes().decode("utf-8")
        if text.startswith("\ufeff"):
            raise _damaged(name, f"{path} begins with a byte order mark: save it as UTF-8 without one")
        return json.loads(text)
    except OSError as error:
        raise _damaged(name, f"{path} cannot be read: {error}") from error
    except (ValueError, RecursionError) as error:
        raise _damaged(name, f"{path} is no JSON: {error}") from error


def _modules(name: str, entries: Any) -> list[dict[str, str]]:
    if entries is None:
        return []
    if not isinstance(entries, list) or not entries:
        raise _damaged(name, "modules.json is no list of modules")
    for entry in entries:
        if not isinstance(entry, dict) or not isinstance(entry.get("type"), str):
            raise _damaged(name, f"modules.json has an entry without a type: {entry!r}")
        path = entry.get("path")
        if not isinstance(path, str) or "\0" in path:
            raise _damaged(name, f"modules.json has an entry whose path is {path!r}")
        windows = PureWindowsPath(path)
        if windows.anchor or ".." in windows.parts or PurePosixPath(path).is_absolute():
            raise _damaged(name, f"modules.json has a path that leaves the checkpoint: {path!r}")
    return entries


def _code(contents: Mapping[str, Any], modules: Sequence[Mapping[str, str]]) -> dict[str, str]:
    code = {}
    for path, content in contents.items():
        mapped = content.get("auto_map") if isinstance(content, dict) else None
        if mapped:
            references = mapped.values() if isinstance(mapped, dict) else [mapped]
            flat = [one for each in references for one in (each if isinstance(each, list) else [each]) if one]
            code[path] = ", ".join(sorted({str(one) for one in flat}))
    own = sorted({module["type"] for module in modules if not module["type"].startswith(OWN_MODULES)})
    if own:
        code["modules.json"] = ", ".join(own)
    return code


def _check_late_interaction(layout: Layout) -> None:
    """Refuse models of page images, and plain language models, which would get a random projection."""
    architectures = [str(kind) for kind in layout.config.get("architectures") or []]
    transformer = layout.json.get(layout.transformer_path + "sentence_bert_config.json")
    task = transformer.get("transformer_task") if isinstance(transformer, dict) else None
    pages = [kind for kind in architectures if kind.endswith("ForRetrieval")]
    if pages or task == "retrieval" or "vision_config" in layout.config:
        kind = ", ".join(pages or architectures) or "its configuration has a vision_config"
        raise InvalidInputError(
            f"{layout.name!r} is a model of page images ({kind}): it was trained on pictures of pages, and this "
            f"library encodes texts. {ADVICE}"
        )
    if layout.modules:
        kinds = [module["type"] for module in layout.modules]
        # A module of the checkpoint's own may be anything: it is not loaded without being trusted.
        if "modules.json" in layout.code or any(
            kind.endswith(("Dense", "MultiVectorMask")) for kind in kinds
        ):
            return
        seen = "its modules are " + ", ".join(kind.rsplit(".", 1)[-1] for kind in kinds)
    else:
        if "HF_ColBERT" in architectures:
            return
        seen = f"its architecture is {', '.join(architectures) or 'not named'}"
    raise InvalidInputError(
        f"'{layout.name}' is no late-interaction model: {seen}, so its projection would be random. {ADVICE}"
    )


def _check_numbers(layout: Layout) -> None:
    config = layout.config
    for key, limit in LIMITS.items():
        value = config.get(key)
        if value is not None:
            _check_number(layout.name, layout.transformer_path + "config.json", key, value, limit)
    readable = config.get("max_position_embeddings")
    limit = readable if isinstance(readable, int) and readable > 0 else LIMITS["max_position_embeddings"]
    for path, content in layout.json.items():
        keys = LENGTHS.get(PurePosixPath(path).name, ())
        if keys and not isinstance(content, dict):
            raise _damaged(layout.name, f"{path} is no JSON object")
        for key in keys:
            if content.get(key) is not None:
                # max_seq_length may exceed what the model reads: sentence-transformers takes the smaller one.
                most = LIMITS["max_position_embeddings"] if key == "max_seq_length" else limit
                _check_number(layout.name, path, key, content[key], most)
        expansion = content.get("query_expansion") if keys else None
        if isinstance(expansion, dict) and expansion.get("length") is not None:
            _check_number(layout.name, path, "query_expansion.length", expansion["length"], limit)


def _check_number(name: str, path: str, key: str, value: Any, limit: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= limit:
        raise _damaged(name, f"{path} has {key} {value!r}; a whole number from 1 to {limit} is needed")


def _check_weights(layout: Layout) -> None:
    """Refuse a module without weights, a list of shards of which one is missing, and files of another format."""
    places = [layout.transformer_path]
    places += [
        module["path"] + "/"
        for module in layout.modules
        if module["type"].endswith("Dense") and module["path"]
    ]
    for place in places:
        if place != layout.transformer_path and place + "config.json" not in layout.json:
            raise _damaged(layout.name, f"{place}config.json is missing")
        weights = [
            path for path in layout.files if _is_in(path, place) and path.endswith((*WEIGHTS, ".onnx"))
        ]
        nested = [
            path for path in layout.files if path.startswith(place) and path.endswith((".onnx", ".xml"))
        ]
        if not weights and not nested:
            raise _damaged(layout.name, f"there is no weight file in {place or 'its directory'}")
    for path, content in layout.json.items():
        if path.endswith(".index.json") and isinstance(content, dict):
            place = path.rpartition("/")[0]
            shards = {f"{place}/{shard}".lstrip("/") for shard in (content.get("weight_map") or {}).values()}
            missing = sorted(shards - set(layout.files))
            if missing:
                raise _damaged(layout.name, f"{path} names {missing[0]}, which is missing")
    for path in layout.files:
        if path.endswith(".safetensors"):
            _check_safetensors(layout.name, layout.directory / path, path)


def _check_safetensors(name: str, file: Path, path: str) -> None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="numpy") as opened:
            opened.keys()
    except (SafetensorError, OSError) as error:
        raise _damaged(name, f"{path} is no whole safetensors file: {error}") from error


def _is_in(path: str, place: str) -> bool:
    return path.startswith(place) and "/" not in path[len(place) :]


def _damaged(name: str, what: str) -> DamagedModelError:
    return DamagedModelError(
        f"The model {name!r} cannot be loaded: {what}. Fetch or copy it again, or write to whoever made it."
    )
