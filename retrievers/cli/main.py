"""The command line: retrievers demo | index | search | info | eval | optimize | compact | verify."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from retrievers._version import __version__
from retrievers.display import show
from retrievers.errors import RetrieversError

if TYPE_CHECKING:
    from retrievers.collection import Collection

DEFAULT_MODEL = "LiquidAI/LFM2-ColBERT-350M"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 if it did what was asked, 1 if it could not, 2 for wrong usage."""
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except RetrieversError as error:
        print(f"retrievers: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            "\nInterrupted. What was committed stays; the same command goes on from there.", file=sys.stderr
        )
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="retrievers", description="Late-interaction retrieval on this machine."
    )
    parser.add_argument("--version", action="version", version=f"maxsim-retrievers {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    demo = commands.add_parser(
        "demo", help="index the Python language reference and answer questions about it"
    )
    demo.add_argument("question", nargs="?", help="answer this one from the index, without indexing again")
    demo.add_argument(
        "--into", type=Path, default=Path("demo-index"), metavar="DIR", help="default: %(default)s"
    )
    demo.set_defaults(run=_demo)

    index = commands.add_parser("index", help="index text, Markdown and HTML files, recursively")
    index.add_argument("source", type=Path, metavar="PATH", help="a directory or a file")
    index.add_argument("--into", type=Path, required=True, metavar="DIR", help="the collection")
    index.add_argument(
        "--model", help=f"default: the model of the collection, or {DEFAULT_MODEL} for a new one"
    )
    index.set_defaults(run=_index)

    search = commands.add_parser("search", help="ask a collection")
    search.add_argument("collection", type=Path, metavar="DIR")
    search.add_argument("question")
    search.add_argument("-k", type=int, default=5, help="most hits to show (default: %(default)s)")
    search.add_argument("--filter", type=_json, metavar="JSON", help='such as \'{"kind": "markdown"}\'')
    search.add_argument("--threshold", type=float, help="least normalised score, 0 to 1")
    search.add_argument(
        "--exact", action="store_true", help="score every window, also where the index could prune"
    )
    search.add_argument("--json", action="store_true", help="one JSON object a hit and line")
    search.set_defaults(run=_search)

    evaluate = commands.add_parser("eval", help="measure retrieval on a BEIR directory")
    evaluate.add_argument(
        "corpus", type=Path, metavar="CORPUS", help="holds corpus.jsonl, queries.jsonl and qrels"
    )
    evaluate.add_argument("--model", action="append", help=f"may stand several times ({DEFAULT_MODEL})")
    evaluate.add_argument("--language", help="of a corpus.LANG.jsonl")
    evaluate.add_argument("--query-language", help="of a queries.LANG.jsonl, if another")
    evaluate.add_argument("--pruned", action="store_true", help="also measure the pruned search")
    evaluate.add_argument("--no-baselines", action="store_true", help="leave out BM25 and the single vector")
    evaluate.add_argument("--cache", type=Path, metavar="DIR", help="keep what was encoded for the next call")
    evaluate.set_defaults(run=_evaluate)

    for name, run, text in (
        ("info", _info, "model, counts and sizes"),
        ("optimize", _optimize, "build the centroids that make a large collection faster"),
        ("compact", _compact, "give back the space of deleted documents"),
        ("verify", _verify, "check every stored byte against its checksum"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("collection", type=Path, metavar="DIR")
        command.set_defaults(run=run)
    return parser


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise argparse.ArgumentTypeError(f"not JSON: {error}") from None


def _open(directory: Path) -> Collection:
    from retrievers.collection import Collection
    from retrievers.errors import StoreError
    from retrievers.store import Store

    if not Store.exists(directory):
        raise StoreError(
            f"no collection lies in {str(directory)!r}: make one with `retrievers index PATH --into DIR`."
        )
    return Collection(directory)


def _demo(options: argparse.Namespace) -> int:
    from retrievers.cli.demo import run

    run(options.into, options.question)
    return 0


def _index(options: argparse.Namespace) -> int:
    from retrievers.cli import files
    from retrievers.collection import Collection
    from retrievers.encoder import LateInteractionEncoder

    documents, skipped = files.read(options.source)
    encoder = LateInteractionEncoder(options.model) if options.model else None
    with Collection(options.into, encoder) as collection:
        before = len(collection)
        collection.add(documents)
        added = len(collection) - before
        print(f"{len(documents)} files read, {added} of them new; {len(collection)} in {options.into}")
    for line in skipped:
        print(f"skipped {line}", file=sys.stderr)
    return 1 if skipped and not documents else 0


def _search(options: argparse.Namespace) -> int:
    with _open(options.collection) as collection:
        hits = collection.search(
            options.question,
            k=options.k,
            filter=options.filter,
            score_threshold=options.threshold,
            exact=options.exact,
        )
    if options.json:
        for hit in hits:
            print(json.dumps(asdict(hit), ensure_ascii=False))
    else:
        print(show(hits) or "Nothing found.")
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    from retrievers import evaluate

    table = evaluate.main(
        options.corpus,
        models=options.model or [DEFAULT_MODEL],
        modes=("exact", "pruned") if options.pruned else ("exact",),
        baselines=() if options.no_baselines else ("BM25", "single vector"),
        language=options.language,
        query_language=options.query_language,
        cache=options.cache,
    )
    print(table.markdown())
    return 0


def _info(options: argparse.Namespace) -> int:
    with _open(options.collection) as collection:
        for name, value in asdict(collection.info()).items():
            print(f"{name.replace('_', ' '):16} {value}")
    return 0


def _optimize(options: argparse.Namespace) -> int:
    with _open(options.collection) as collection:
        collection.optimize()
    return 0


def _compact(options: argparse.Namespace) -> int:
    with _open(options.collection) as collection:
        before = collection.info().bytes
        collection.compact()
        print(f"{before - collection.info().bytes} bytes given back")
    return 0


def _verify(options: argparse.Namespace) -> int:
    with _open(options.collection) as collection:
        damages = collection.verify()
        for damage in damages:
            affected = f"; documents: {', '.join(damage.ids)}" if damage.ids else ""
            print(f"{damage.file}: {damage.problem}{affected}")
        if not damages:
            print(f"sound: {len(collection)} documents, every byte as it was written")
    return 1 if damages else 0
