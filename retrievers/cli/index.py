"""retrievers index: it puts a folder's files into a collection, and takes out those that are gone."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from retrievers.cli import model_options
from retrievers.cli.model_options import DEFAULT_MODEL
from retrievers.cli.opening import created, existing
from retrievers.cli.terminal import Commands, say, warn
from retrievers.display import printable
from retrievers.errors import InvalidInputError

if TYPE_CHECKING:
    from retrievers.cli.changes import Changes
    from retrievers.cli.files import LeftOut, Scan

MOST_REASONS = 12  # that the summary names; the others are added up
HELP = """\
A document's id is where its file lies, and its metadata have the folder that was named ("root"), the file's path
below it ("path") and its kind. Files of equal names in different folders are different documents, and a file that
did not change is not encoded again; if nothing changed, no model is loaded.

A folder that was moved is another folder. Name its former place with --root, and its documents stay. PLACE can be
any name.

Earlier versions recorded no folder: the id was the path below it. Such documents keep their ids. They are taken for
the files of equal names in the folder that is indexed now if at least half of them have the same text; otherwise
the command stops and asks for --adopt or --no-adopt.

Hidden files, links and kinds that have no reader are left out and counted. A file or folder that cannot be read, is
not UTF-8 or has a name that is not UTF-8 is named on standard error, too. The command still returns 0, and 1 only
if nothing could be read."""


def register(commands: Commands) -> None:
    """Add the command to the parser."""
    index = commands.add_parser(
        "index",
        help="index text, Markdown and HTML files, recursively",
        description="Index text, Markdown and HTML files, recursively.",
        epilog=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    index.add_argument("source", type=Path, metavar="PATH", help="a folder or a file")
    index.add_argument("--into", type=Path, required=True, metavar="DIR", help="the collection")
    index.add_argument(
        "--prune", action="store_true", help="remove documents of this folder whose file is gone"
    )
    index.add_argument("--dry-run", action="store_true", help="only say what would be done")
    index.add_argument("--follow-links", action="store_true", help="read what links lead to, each file once")
    index.add_argument(
        "--root", metavar="PLACE", help="the name of the folder in ids (default: where it lies)"
    )
    index.add_argument(
        "--adopt", action=argparse.BooleanOptionalAction, help="take documents that have no folder recorded"
    )
    index.add_argument(
        "--bits",
        type=int,
        choices=(8, 4),
        help="of a number of the stored rows; 4 take half the space (default: those of the collection, or 8 for a new "
        "one)",
    )
    model_options.declare(
        index, model=f"default: the model of the collection, or {DEFAULT_MODEL} for a new one"
    )
    index.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Read, compare, add and remove; 1 if nothing could be read."""
    from retrievers.cli import files
    from retrievers.cli.changes import compare

    found = files.scan(options.source, follow_links=options.follow_links)
    root = options.root or found.root
    _check(options, found, root)
    with ExitStack() as stack:
        collection = (
            stack.enter_context(existing(options.into, options, bits=options.bits))
            if _holds(options.into)
            else None
        )
        todo = compare(collection, found, root, adopt=options.adopt, prune=options.prune)
        faults = [one for one in todo.left_out if not one.expected]
        if not (todo.documents or todo.unchanged or faults):
            raise InvalidInputError(
                f"no file below {str(options.source)!r} ends in one of {', '.join(sorted(files.KINDS))}. Nothing was "
                "changed; `retrievers delete DIR --below PATH` removes the documents of a folder."
            )
        if options.dry_run:
            _announce(todo)
        elif todo.documents or todo.removed:
            if collection is None:
                collection = stack.enter_context(created(options.into, options, bits=options.bits))
            if todo.documents:
                collection.add(todo.documents)
            if todo.removed:
                collection.delete(todo.removed)
        size = "" if collection is None else f"; {len(collection)} in {options.into}"
    counts = f"{len(todo.new)} new, {len(todo.changed)} changed, {todo.unchanged} unchanged"
    say(f"{counts}, {len(todo.removed)} removed{size}")
    if todo.left_out:
        say(f"left out: {_reasons(todo.left_out)}")
    for one in faults:
        warn(f"left out {printable(one.name)}: {one.reason}")
    return 0 if todo.documents or todo.unchanged else 1


def _holds(directory: Path) -> bool:
    from retrievers.store import Store

    return Store.exists(directory)


def _check(options: argparse.Namespace, found: Scan, root: str) -> None:
    if options.prune and not found.whole:
        raise InvalidInputError(f"--prune needs a folder, and {str(options.source)!r} is a file.")
    try:
        root.encode()
    except UnicodeEncodeError:
        raise InvalidInputError(
            f"the folder {root!r} has a name that is not UTF-8, which no id can hold: give it another with --root."
        ) from None


def _announce(todo: Changes) -> None:
    for mark, ids in (
        ("new", [document.id for document in todo.new]),
        ("changed", [document.id for document in todo.changed]),
        ("removed", todo.removed),
    ):
        for one in ids:
            say(f"{mark:8} {printable(str(one))}")
    say("This is a dry run, and nothing is changed. It would be:")


def _reasons(left_out: Sequence[LeftOut]) -> str:
    """Counts by reason, most frequent first."""
    counts = Counter(one.reason for one in left_out).most_common()
    shown = [f"{count} {printable(reason)}" for reason, count in counts[:MOST_REASONS]]
    if len(counts) > MOST_REASONS:
        shown.append(f"{sum(count for _, count in counts[MOST_REASONS:])} for other reasons")
    return ", ".join(shown)
