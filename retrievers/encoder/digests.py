"""Digests of a checkpoint's files, the same wherever they lie: in a directory, or in the hub's cache."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from retrievers.encoder.checkpoint import Layout
from retrievers.encoder.identity import digest

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "chat_template.jinja",
)
TOKENIZER_ENDINGS = (".model", ".tiktoken")
CONFIGURATION_FILES = (
    "config.json",
    "modules.json",
    "config_sentence_transformers.json",
    "artifact.metadata",
)
CONFIGURATION_ENDINGS = ("_config.json", "processor_config.json")

# What versions of libraries note about themselves, what names of places say, and what shapes questions alone: the
# digest of the questions is made of the values that are in effect.
IGNORED = {
    "__version__",
    "transformers_version",
    "_name_or_path",
    "dtype",
    "torch_dtype",
    "similarity_fn_name",
    "default_prompt_name",
    "prompts",
    "query_prefix",
    "document_prefix",
    "query_length",
    "document_length",
    "query_maxlen",
    "doc_maxlen",
    "query_expansion",
    "do_query_expansion",
    "attend_to_expansion_tokens",
    "attend_to_mask_tokens",
    "query_token_id",
    "skiplist_words",
    "mask_punctuation",
    "skiplist_tasks",
}


def file_digests(layout: Layout) -> dict[str, str]:
    """What of a checkpoint's files shapes the rows of documents: sha256 of each kind, hexadecimal."""
    weights = [path for path in layout.files if path.endswith((".safetensors", ".bin"))]
    if not weights:  # of another backend alone
        weights = [path for path in layout.files if path.endswith((".onnx", ".xml"))]
    tokenizer = [
        path
        for path in layout.files
        if PurePosixPath(path).name in TOKENIZER_FILES or path.endswith(TOKENIZER_ENDINGS)
    ]
    configuration = [
        path
        for path in layout.json
        if path not in tokenizer
        and (PurePosixPath(path).name in CONFIGURATION_FILES or path.endswith(CONFIGURATION_ENDINGS))
    ]
    parts = {
        "weights": digest({path: file_sha256(layout.directory / path) for path in weights}),
        "tokenizer": digest({path: _content(layout, path) for path in tokenizer}),
        "configuration": digest({path: _kept(layout.json[path]) for path in configuration}),
    }
    if layout.code:
        code = [path for path in layout.files if path.endswith(".py")]
        parts["code"] = digest({path: file_sha256(layout.directory / path) for path in code})
    return parts


def first_weights(layout: Layout) -> str:
    """sha256 over the weights as fingerprints of the first shape have it, hexadecimal."""
    for pattern in ("*.safetensors", "*.bin", "*.onnx"):
        files = sorted(p for p in layout.directory.rglob(pattern) if not p.name.startswith("openvino"))
        if files:
            whole = hashlib.sha256()
            for path in files:
                whole.update(file_sha256(path).encode())
            return whole.hexdigest()
    return ""


def file_sha256(path: Path) -> str:
    """sha256 of a file, hexadecimal."""
    # The hub's cache names a large file by its sha256, links to it, and was compared: a gigabyte is not read again.
    target = path.resolve()
    if path.is_symlink() and target.parent.name == "blobs" and re.fullmatch(r"[0-9a-f]{64}", target.name):
        return target.name
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def text_digest(values: Iterable[str]) -> str:
    """sha256 of a set of texts, hexadecimal, whatever their order."""
    return digest({"values": sorted(set(values))})


def _content(layout: Layout, path: str) -> Any:
    content = layout.json.get(path)
    if not isinstance(content, Mapping):
        return file_sha256(layout.directory / path)
    # A tokenizer keeps how it was used last: how it cuts and pads, which is set at each use.
    return {
        key: value
        for key, value in content.items()
        if key not in ("truncation", "padding", "model_max_length")
    }


def _kept(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {key: _kept(value) for key, value in content.items() if key not in IGNORED}
    if isinstance(content, list):
        return [_kept(value) for value in content]
    return content
