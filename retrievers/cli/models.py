"""retrievers models: what the cache holds, fetching a model into it, and checking one."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retrievers.cli import model_options
from retrievers.cli.opening import existing
from retrievers.cli.terminal import Commands, Parser, say, say_json, warn
from retrievers.display import printable
from retrievers.errors import InvalidInputError

if TYPE_CHECKING:
    from retrievers.encoder.source import Source
    from retrievers.types import TokenMatrix

SENTENCE = "Ada Lovelace wrote the first program for a machine that was never built."
UNIT_TOLERANCE = 1e-3  # how far the length of a row may be from 1


def register(commands: Commands) -> None:
    """Add the commands to the parser."""
    models = commands.add_parser(
        "models",
        help="list the models that are cached, fetch one, or check one",
        description="List the models that are cached with their sizes and commits, or do what ACTION says.",
    )
    models.add_argument("--json", action="store_true", help="JSON objects, each on a line of its own")
    models.set_defaults(run=_list)
    actions = models.add_subparsers(metavar="ACTION", parser_class=Parser)

    fetch = actions.add_parser("fetch", help="bring a model of the hub into the cache, to be loaded offline")
    fetch.set_defaults(run=_fetch)
    check = actions.add_parser(
        "check", help="read a model's files again, load it, encode a sentence, and compare its digest"
    )
    check.add_argument(
        "--collection",
        type=Path,
        metavar="DIR",
        help="compare with the digest of the model that wrote this collection",
    )
    check.set_defaults(run=_check)
    for action, names in ((fetch, ("token",)), (check, model_options.WITHOUT_NAME)):
        action.add_argument(
            "model", metavar="NAME[@REVISION]", help="such as LiquidAI/LFM2-ColBERT-350M@main"
        )
        # Without a default, which would take the place of a --json that stands before the action.
        action.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="one JSON object")
        model_options.declare(action, names)


def _list(options: argparse.Namespace) -> int:
    from retrievers.encoder.hub import cached_models
    from retrievers.encoder.source import Source

    found = cached_models()
    if options.json:
        for one in found:
            say_json(
                {
                    "name": one.name,
                    "commit": one.commit,
                    "revisions": list(one.revisions),
                    "bytes": one.size,
                    "directory": str(one.directory),
                }
            )
        return 0
    cache = Source("").cache
    if not found:
        say(f"No model is cached in {cache}. `retrievers models fetch NAME` brings one.")
        return 0
    width = max(len(printable(one.name)) for one in found)
    for one in found:
        revisions = ", ".join(map(printable, one.revisions))
        line = f"{printable(one.name):{width}}  {one.commit}  {_megabytes(one.size):>11}  {revisions}"
        say(line.rstrip())
    say(f"{len(found)} in {cache}")
    return 0


def _fetch(options: argparse.Namespace) -> int:
    from retrievers.encoder import hub

    source = _source(options)
    if not _is_of_hub(source):
        raise InvalidInputError(
            f"{source.name!r} is no repository on the hub: it comes with a Python package or is a directory, and there "
            "is nothing to fetch."
        )
    damaged = hub.discard_damaged(source)
    if damaged:
        warn(f"{source.name} was damaged in the cache and is fetched anew: {', '.join(damaged)}")
    snapshot = hub.fetch(source)
    size = sum(file.stat().st_size for file in snapshot.directory.rglob("*") if file.is_file())
    if options.json:
        directory = str(snapshot.directory)
        say_json({"name": source.name, "commit": snapshot.commit, "bytes": size, "directory": directory})
    else:
        say(f"{source.name} at commit {snapshot.commit}, {_megabytes(size)}, is in {snapshot.directory}")
    return 0


def _check(options: argparse.Namespace) -> int:
    from retrievers.encoder import LateInteractionEncoder, hub, identity

    source = _source(options)
    stored = None
    if options.collection is not None:
        with existing(options.collection) as collection:
            stored = collection.fingerprint
    problems = []
    if _is_of_hub(source):
        snapshot = hub.fetch(source)
        source = replace(source, revision=snapshot.commit)
        problems = [
            f"{file} is damaged: its bytes are not those that the hub described. `retrievers models fetch "
            f"{options.model}` brings it anew"
            for file in hub.verify(source)
        ]
    result: dict[str, Any] = {"name": source.name, "commit": source.revision}
    if not problems:
        chosen = {**model_options.given(options), "revision": source.revision}
        encoder = LateInteractionEncoder(source.name, **chosen)
        matrices = [*encoder.encode_documents([SENTENCE]), *encoder.encode_queries([SENTENCE])]
        problems += _problems(matrices)
        if stored is not None:
            differing = identity.compare(stored, encoder.fingerprint) or []
            problems += [f"it is not the model of {options.collection}: {one}" for one in differing]
        result |= {
            "dim": encoder.dim,
            "document_length": encoder.document_length,
            "precision": encoder.dtype,
            "documents": encoder.fingerprint["documents"]["digest"],
            "questions": encoder.fingerprint["questions"]["digest"],
        }
    if options.json:
        say_json({**result, "problems": problems})
    else:
        _say_checked(result, problems, options.collection)
    return 1 if problems else 0


def _say_checked(result: dict[str, Any], problems: list[str], collection: Path | None) -> None:
    at = f" at commit {result['commit']}" if result["commit"] else ""
    say(f"{result['name']}{at}")
    if "dim" in result:
        say(f"dimensions       {result['dim']}, computed in {result['precision']}")
        say(f"document length  {result['document_length']} tokens")
        say(f"digest of what shapes documents  {result['documents']}")
        say(f"digest of what shapes questions  {result['questions']}")
    for problem in problems:
        say(f"{problem}.")
    if not problems:
        beside = "" if collection is None else f", and it is the model that wrote {collection}"
        say(f"The model is sound: it loads and encodes{beside}.")


def _problems(matrices: list[TokenMatrix]) -> list[str]:
    """What is wrong with a document's and a question's rows: float32, (tokens, dim), of length 1."""
    import numpy as np

    found = []
    for kind, matrix in zip(("document", "question"), matrices, strict=True):
        if not len(matrix):
            found.append(f"a sentence has no rows as a {kind}")
        elif not np.allclose(np.linalg.norm(matrix, axis=1), 1, rtol=0, atol=UNIT_TOLERANCE):
            found.append(f"a sentence has rows as a {kind} that are not of length 1, or are no numbers")
    return found


def _source(options: argparse.Namespace) -> Source:
    """Where the named model comes from; NAME@REVISION unless a directory has that whole name.

    Raises:
        InvalidInputError: there is nothing on one side of the @.
    """
    from retrievers.encoder.source import Source

    name, mark, revision = options.model.partition("@")
    if Path(options.model).is_dir():
        name, mark, revision = options.model, "", ""
    if not name or (mark and not revision):
        raise InvalidInputError(f"{options.model!r} is no model: NAME or NAME@REVISION is needed.")
    return Source(
        name,
        revision or None,
        token=options.token,
        local_files_only=getattr(options, "offline", False),
    )


def _is_of_hub(source: Source) -> bool:
    """Whether a model is a repository on the hub.

    Raises:
        ModelNotFoundError: the name can only be a directory, and there is none.
    """
    from retrievers.encoder.hub_errors import no_directory
    from retrievers.encoder.offline.registry import OFFLINE

    if source.name in OFFLINE or Path(source.name).is_dir():
        return False
    if source.is_path:
        raise no_directory(source)
    return True


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
