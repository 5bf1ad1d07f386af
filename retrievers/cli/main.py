"""The command line: it finds the command that was asked for, runs it, and says in one line why it could not."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from retrievers._version import __version__
from retrievers.cli import asking, care, index, model_options, models, moving, serving
from retrievers.cli.terminal import Parser, warn, warnings_as_lines
from retrievers.errors import RetrieversError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 if it did what was asked, 1 if it could not, 2 for wrong usage."""
    options = _parser().parse_args(arguments)
    try:
        with warnings_as_lines():
            status: int = options.run(options)
        sys.stdout.flush()  # a reader that has gone is noticed here, and not when Python ends
        return status
    except RetrieversError as error:
        warn(f"retrievers: {error}")
        return 1
    except BrokenPipeError:
        # Whoever reads our output, head for example, has enough. Python would write what is left when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        warn("\nInterrupted. What was committed stays; the same command goes on from there.")
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="retrievers", description="Late-interaction retrieval on this machine.")
    parser.add_argument("--version", action="version", version=f"maxsim-retrievers {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=Parser)

    demo = commands.add_parser(
        "demo", help="index the Python language reference and answer questions about it"
    )
    demo.add_argument("question", nargs="?", help="answer this one from the index, without indexing again")
    demo.add_argument(
        "--into", type=Path, default=Path("demo-index"), metavar="DIR", help="default: %(default)s"
    )
    model_options.declare(demo, model="default: offline/minilm, which needs no hub")
    demo.set_defaults(run=_demo)
    index.register(commands)
    asking.register(commands)
    care.register(commands)
    models.register(commands)
    moving.register(commands)
    serving.register(commands)
    return parser


def _demo(options: argparse.Namespace) -> int:
    from retrievers.cli.demo import MODEL, run

    run(options.into, options.question, lambda: model_options.load(options.model or MODEL, options))
    return 0
