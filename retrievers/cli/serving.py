"""The command that serves a collection to assistants and agents: mcp."""

from __future__ import annotations

import argparse
from pathlib import Path

from retrievers.cli import model_options
from retrievers.cli.opening import existing
from retrievers.cli.terminal import Commands, warn


def register(commands: Commands) -> None:
    """Add the command to the parser."""
    command = commands.add_parser(
        "mcp",
        help="serve a collection to assistants and agents: the Model Context Protocol over standard input and output",
    )
    command.add_argument("collection", type=Path, metavar="DIR")
    command.add_argument(
        "--write",
        action="store_true",
        help="also offer tools that add and delete; without it nothing can be changed",
    )
    model_options.declare(command, model="default: the model of the collection; another must give equal rows")
    command.set_defaults(run=_serve)


def _serve(options: argparse.Namespace) -> int:
    from retrievers.mcp import server

    with existing(options.collection, options) as collection:
        writes = "can be changed" if options.write else "read only"
        warn(f"serving {options.collection}, {len(collection)} documents, {writes}")
        server(collection, write=options.write).run("stdio")
    return 0
