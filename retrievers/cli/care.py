"""Commands that take care of a collection: info, words, tokens, centroids, compact, verify, copies, delete."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from retrievers.cli import model_options
from retrievers.cli.opening import existing
from retrievers.cli.terminal import Commands, say, say_json
from retrievers.cli.values import json_value
from retrievers.display import printable
from retrievers.errors import InvalidInputError


def register(commands: Commands) -> None:
    """Add the commands to the parser."""
    for name, run, text in (
        ("info", _info, "model, counts and sizes"),
        ("optimize", _optimize, "build the centroids that make a large collection faster"),
        ("compact", _compact, "give back the space of deleted documents"),
        ("verify", _verify, "check every stored byte against its checksum"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("collection", type=Path, metavar="DIR")
        command.set_defaults(run=run)
        if name in ("info", "verify"):
            command.add_argument(
                "--json", action="store_true", help="JSON objects, each on a line of its own"
            )
    words = commands.add_parser(
        "index-words", help="index the words of all documents, for searches with --words"
    )
    words.add_argument("collection", type=Path, metavar="DIR")
    words.add_argument(
        "--tokenizer",
        metavar="NAME",
        help="unicode61 (words as they are), porter (English stems) or trigram (languages without spaces); default: "
        "that of the index that is there, else unicode61",
    )
    words.add_argument(
        "--weight", type=float, metavar="SHARE", help="share of BM25 in a search that does not say it, 0 to 1"
    )
    words.set_defaults(run=_index_words)
    count = commands.add_parser(
        "count-tokens", help="count in how many documents each token occurs, for query_weights with idf"
    )
    count.add_argument("collection", type=Path, metavar="DIR")
    model_options.declare(count, model="default: the model of the collection; another must give equal rows")
    count.set_defaults(run=_count_tokens)
    backup = commands.add_parser(
        "backup", help="copy the last commit into a new directory, while others go on writing"
    )
    backup.add_argument("collection", type=Path, metavar="DIR")
    backup.add_argument("destination", type=Path, metavar="DEST", help="a directory that is not there yet")
    backup.set_defaults(run=_backup)
    convert = commands.add_parser(
        "convert", help="copy it into a new directory with other bits a number, without encoding again"
    )
    convert.add_argument("collection", type=Path, metavar="DIR")
    convert.add_argument(
        "--bits", type=int, choices=(8, 4), required=True, help="of a number of the stored rows"
    )
    convert.add_argument(
        "--to", type=Path, required=True, metavar="DEST", help="a directory that is not there yet"
    )
    convert.set_defaults(run=_convert)
    delete = commands.add_parser("delete", help="remove documents by id, by folder or by filter")
    delete.add_argument("collection", type=Path, metavar="DIR")
    delete.add_argument("ids", nargs="*", metavar="ID", help="an id that is not there is no error")
    delete.add_argument(
        "--below", metavar="PATH", help="documents that `index` made of files at this place or below it"
    )
    delete.add_argument("--filter", type=json_value, metavar="JSON", help='such as \'{"kind": "markdown"}\'')
    delete.add_argument("--dry-run", action="store_true", help="only print the ids")
    delete.set_defaults(run=_delete)


def _info(options: argparse.Namespace) -> int:
    with existing(options.collection) as collection:
        values = asdict(collection.info())
    if options.json:
        say_json(values)
    else:
        for name, value in values.items():
            if value is None:
                continue
            say(f"{name.replace('_', ' '):16} {value}")
    return 0


def _optimize(options: argparse.Namespace) -> int:
    with existing(options.collection) as collection:
        collection.optimize()
    return 0


def _index_words(options: argparse.Namespace) -> int:
    with existing(options.collection) as collection:
        collection.index_words(options.tokenizer, words_weight=options.weight)
        info = collection.info()
    say(f"{info.documents} documents by their words ({info.words}), {info.words_bytes} bytes")
    return 0


def _count_tokens(options: argparse.Namespace) -> int:
    with existing(options.collection, options) as collection:
        collection.count_tokens()
        info = collection.info()
    say(f"{info.documents} documents by their tokens, {info.token_ids_bytes} bytes")
    return 0


def _compact(options: argparse.Namespace) -> int:
    with existing(options.collection) as collection:
        before = collection.info().bytes
        collection.compact()
        say(f"{before - collection.info().bytes} bytes given back")
    return 0


def _verify(options: argparse.Namespace) -> int:
    with existing(options.collection) as collection:
        damages = collection.verify()
        size = len(collection)
    for damage in damages:
        if options.json:
            say_json(asdict(damage))
            continue
        affected = f"; documents: {', '.join(map(printable, damage.ids))}" if damage.ids else ""
        say(f"{damage.file}: {damage.problem}{affected}")
    if not damages and not options.json:
        say(f"sound: {size} documents, every byte as it was written")
    return 1 if damages else 0


def _backup(options: argparse.Namespace) -> int:
    with existing(options.collection) as collection:
        collection.backup(options.destination)
    with existing(options.destination) as copy:
        say(f"{len(copy)} documents, {copy.info().bytes} bytes, are in {options.destination}")
    return 0


def _convert(options: argparse.Namespace) -> int:
    with existing(options.collection) as collection:
        collection.convert(options.to, bits=options.bits)
    with existing(options.to) as copy:
        info = copy.info()
    say(f"{info.documents} documents of {info.bits} bits a number, {info.bytes} bytes, are in {options.to}")
    return 0


def _delete(options: argparse.Namespace) -> int:
    from retrievers.cli.changes import lies_below

    given = [bool(options.ids), options.below is not None, options.filter is not None]
    if sum(given) != 1:
        raise InvalidInputError("delete needs ids, --below PATH or --filter JSON, one of the three.")
    if options.filter == {}:
        raise InvalidInputError("--filter {} would remove every document: name what is to go.")
    with existing(options.collection) as collection:
        if options.below is not None:
            places = {options.below.rstrip("/"), Path(options.below).resolve().as_posix()}
            found = collection.get(filter=lambda one: any(lies_below(one, place) for place in places))
        elif options.filter is not None:
            found = collection.get(filter=options.filter)
        else:
            found = collection.get(options.ids)
        ids = [str(document.id) for document in found]
        if options.dry_run:
            for one in ids:
                say(printable(one))
            say(f"This is a dry run, and nothing is changed: {len(ids)} would be removed.")
            return 0
        removed = collection.delete(ids)
        say(f"removed {removed}; {len(collection)} in {options.collection}")
    return 0
