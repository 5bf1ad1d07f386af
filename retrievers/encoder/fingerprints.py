"""The fingerprint of an encoder, and the options that load it again from one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from retrievers.encoder import digests, hub, identity
from retrievers.encoder.loading import Checkpoint
from retrievers.encoder.source import Runtime, Source
from retrievers.encoder.tokenizing import Preprocessor
from retrievers.errors import InvalidInputError, ModelNotFoundError

# Of model_kwargs: how the same numbers are kept or multiplied, and where.
PLACEMENT = (
    "code_revision",
    "dtype",
    "torch_dtype",
    "attn_implementation",
    "device_map",
    "low_cpu_mem_usage",
)

KWARGS = ("model_kwargs", "processor_kwargs", "config_kwargs")
# What reopening gives back to LateInteractionEncoder, and nothing else that a collection may say.
OPTIONS = (
    "document_length",
    "query_length",
    "overlap",
    "precision",
    "token_pooling",
    "prompts",
    "backend",
    "revision",
    "cache_folder",
)


def fingerprint(
    checkpoint: Checkpoint,
    source: Source,
    runtime: Runtime,
    preprocess: Preprocessor,
    *,
    dim: int,
    unmasked: int,
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """What a collection keeps of its encoder, as JSON: see identity.

    Args:
        checkpoint, source, runtime, preprocess: of the encoder.
        dim: length of a row.
        unmasked: how many convolutions read query expansion.
        options: of LateInteractionEncoder, which reopening gives back.
    """
    layout = checkpoint.layout
    files = digests.file_digests(layout) if layout else {"weights": checkpoint.weights}
    kwargs = _kwargs(runtime)
    documents = {
        **files,
        "prompt": preprocess.prompts["document"],
        "length": preprocess.document_length,
        "skiplist": digests.text_digest(preprocess.skipped("document")),
        "pooling": options["token_pooling"],
        "white_space": "stripped",
        **({"other_code": dict(checkpoint.code)} if checkpoint.code else {}),
        **({"options": identity.digest(kwargs)} if kwargs else {}),
    }
    questions = {
        "prompt": preprocess.prompts["query"],
        "length": preprocess.query_length,
        "expansion": preprocess.expansion,
        "skiplist": digests.text_digest(preprocess.skipped("query")),
        **({"convolutions": "unmasked"} if unmasked else {}),
    }
    kept = {
        **options,
        "backend": runtime.backend,
        "revision": source.revision,
        "cache_folder": source.cache_folder,
        "trust_remote_code": source.trust_remote_code and bool(layout and layout.code),
    }
    for name in KWARGS:
        value = getattr(runtime, name)
        if value:
            kept[name] = dict(value) if _is_json(value) else "not stored"
    return {
        "identity": identity.VERSION,
        "model": checkpoint.name,
        "dim": dim,
        "origin": {"kind": checkpoint.kind, "name": checkpoint.name, "commit": checkpoint.commit},
        "documents": {"digest": identity.digest(documents), **documents},
        "questions": {"digest": identity.digest(questions), **questions},
        "options": kept,
        # By which collections of the first shape know their model.
        "first_weights": digests.first_weights(layout) if layout else checkpoint.weights,
    }


def reopening(fingerprint: Mapping[str, Any], *, owned: bool) -> dict[str, Any]:
    """Arguments of LateInteractionEncoder for the encoder that wrote a collection.

    Raises:
        ModelNotFoundError, InvalidInputError: see LateInteractionEncoder.from_fingerprint.
    """
    if identity.is_first(fingerprint):
        return _first(fingerprint)
    origin, options = fingerprint.get("origin"), fingerprint.get("options")
    if (
        not isinstance(origin, Mapping)
        or not isinstance(options, Mapping)
        or not {"kind", "name"} <= origin.keys()
    ):
        raise ModelNotFoundError(
            f"this collection was written by an encoder of its user's own, {fingerprint.get('model')!r}: "
            "open it with that, Collection(path, encoder)."
        )
    name = str(origin["name"])
    if options.get("trust_remote_code"):
        raise InvalidInputError(
            f"this collection was written with Python code of the model {identity.described(fingerprint)}. "
            "A collection never turns trust on: read the code, and if you trust it, open the collection with "
            f"Collection(path, LateInteractionEncoder({name!r}, trust_remote_code=True, "
            f"revision={origin.get('commit')!r}))."
        )
    arguments = {key: options[key] for key in OPTIONS if key in options}
    owned = owned and not fingerprint.get(identity.IMPORTED)
    # They may name places and code: of a stranger's collection they are not taken.
    kwargs = [key for key in KWARGS if options.get(key)]
    lost = [key for key in kwargs if not owned or not isinstance(options[key], Mapping)]
    if lost:
        raise ModelNotFoundError(
            f"this collection was written by {name!r} with {', '.join(lost)}, which are not taken from it: open it "
            f"with Collection(path, LateInteractionEncoder({name!r}, {lost[0]}=…))."
        )
    for key in kwargs:
        arguments[key] = {name: value for name, value in options[key].items() if name != "trust_remote_code"}
    if origin["kind"] == "directory" and not owned:
        raise _unowned(name)
    if not owned:
        arguments.pop("cache_folder", None)
    if origin["kind"] == "hub":
        arguments["revision"] = origin.get("commit")
    return {"model": name, **arguments}


def moved_on(
    fingerprint: Mapping[str, Any], options: Mapping[str, Any], error: ModelNotFoundError
) -> ModelNotFoundError:
    """The error for a collection whose model cannot be had at its commit: with both commits, where there is another."""
    commit = options.get("revision")
    if identity.is_first(fingerprint) or fingerprint["origin"]["kind"] != "hub" or commit is None:
        return error
    if commit != fingerprint["origin"].get("commit"):  # the user asked for another
        return error
    name = str(options["model"])
    kept = {key: options[key] for key in ("token", "cache_folder", "local_files_only") if key in options}
    newest = hub.newest_commit(Source(name, **kept))
    if newest is None or newest == commit:
        return error
    return ModelNotFoundError(
        f"This collection was written by {name!r} at commit {commit}, which can be had no more; its main branch is at "
        f"commit {newest} now. If that changed no row of documents, Collection(path, LateInteractionEncoder({name!r})) "
        f"opens the collection, and else says what differs: then build a new one.\n{error}"
    )


def _first(fingerprint: Mapping[str, Any]) -> dict[str, Any]:
    """The first shape has the last part of a directory's path for its name, which anybody may own on a hub."""
    name = str(fingerprint["model"])
    if "/" not in name:
        raise _unowned(name)
    kept = ("document_length", "query_length", "token_pooling", "prompts")
    return {"model": name, **{key: fingerprint[key] for key in kept}}


def _unowned(name: str) -> ModelNotFoundError:
    return ModelNotFoundError(
        f"this collection was written by the model in the directory {name!r}. It is not loaded by what the collection "
        "says, because the collection may be a stranger's or may have moved: name the directory, "
        "Collection(path, LateInteractionEncoder(directory))."
    )


def _kwargs(runtime: Runtime) -> dict[str, Any]:
    """The options for transformers that may change a matrix."""
    model = {key: value for key, value in (runtime.model_kwargs or {}).items() if key not in PLACEMENT}
    given = {
        "model_kwargs": model,
        "processor_kwargs": dict(runtime.processor_kwargs or {}),
        "config_kwargs": dict(runtime.config_kwargs or {}),
    }
    return {key: value for key, value in given.items() if value}


def _is_json(value: Any) -> bool:
    try:
        json.dumps(dict(value), allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True
