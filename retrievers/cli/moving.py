"""push and pull: a collection is copied to a Qdrant server and back, with its rows as they are."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from retrievers.cli.opening import existing
from retrievers.cli.terminal import Commands, say

if TYPE_CHECKING:
    from retrievers.qdrant import Copied

KEY = "QDRANT_API_KEY"  # an argument of a command can be read by every user of the system


def register(commands: Commands) -> None:
    """Add the commands to the parser."""
    push = commands.add_parser("push", help="copy a collection to a Qdrant server, without encoding it again")
    push.add_argument("collection", type=Path, metavar="DIR")
    push.add_argument("--to", required=True, metavar="URL", help="such as http://localhost:6333")
    _declare(push)
    push.add_argument(
        "--alias",
        metavar="ALIAS",
        help="let this name mean the copy once it is complete, in place of another",
    )
    push.add_argument(
        "--datatype", choices=("float16", "float32"), help="of the rows there; default: float16"
    )
    push.set_defaults(run=_push)
    pull = commands.add_parser("pull", help="copy a collection on a Qdrant server into a directory")
    pull.add_argument("collection", type=Path, metavar="DIR")
    pull.add_argument(
        "--from", required=True, dest="source", metavar="URL", help="such as http://localhost:6333"
    )
    _declare(pull)
    pull.set_defaults(run=_pull)


def _declare(command: argparse.ArgumentParser) -> None:
    command.add_argument("--name", required=True, help="of the collection on the server")
    command.add_argument(
        "--grpc", action="store_true", help="send and read rows by gRPC, a fifth of the bytes"
    )
    command.add_argument(
        "--timeout", type=float, default=60.0, metavar="SECONDS", help="for one request; default: %(default)s"
    )
    command.epilog = f"The server's key is read from the environment variable {KEY}."


def _push(options: argparse.Namespace) -> int:
    from retrievers.qdrant import push

    with existing(options.collection) as collection:
        copied = push(
            collection,
            options.to,
            options.name,
            alias=options.alias,
            api_key=os.environ.get(KEY),
            timeout=options.timeout,
            prefer_grpc=options.grpc,
            datatype=options.datatype,
        )
    _announce(copied, options.name)
    if options.alias is not None:
        say(f"{options.alias} now names {options.name}")
    return 0


def _pull(options: argparse.Namespace) -> int:
    from retrievers.qdrant import pull

    copied = pull(
        options.source,
        options.name,
        options.collection,
        api_key=os.environ.get(KEY),
        timeout=options.timeout,
        prefer_grpc=options.grpc,
    )
    _announce(copied, str(options.collection))
    return 0


def _announce(copied: Copied, place: str) -> None:
    say(
        f"{copied.documents} documents, {copied.windows} windows, {copied.tokens} token rows are in {place}, every "
        f"row as it was; {copied.added} documents were copied by this call"
    )
