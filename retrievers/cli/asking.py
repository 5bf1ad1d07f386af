"""Commands that ask: search and eval."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from itertools import count
from pathlib import Path

from retrievers.cli import model_options
from retrievers.cli.model_options import DEFAULT_MODEL
from retrievers.cli.opening import existing
from retrievers.cli.terminal import Commands, say, say_json, say_safe
from retrievers.cli.values import json_value
from retrievers.display import show
from retrievers.display.text import has_colour, show_evidence
from retrievers.errors import InvalidInputError
from retrievers.types import Evidence, Hit

MOST_SHOWN = 360  # characters of a passage


def register(commands: Commands) -> None:
    """Add the commands to the parser."""
    search = commands.add_parser("search", help="ask a collection")
    search.add_argument("collection", type=Path, metavar="DIR")
    search.add_argument("question")
    search.add_argument("-k", type=int, default=5, help="most hits to show (default: %(default)s)")
    search.add_argument("--filter", type=json_value, metavar="JSON", help='such as \'{"kind": "markdown"}\'')
    search.add_argument("--threshold", type=float, help="least normalised score, 0 to 1")
    search.add_argument(
        "--words",
        type=float,
        metavar="SHARE",
        help="share of BM25 in the score, 0 to 1, where words are indexed (default: what the collection has stored)",
    )
    search.add_argument(
        "--pooled",
        type=float,
        metavar="SHARE",
        help="share of the pooled similarity in the score, 0 to 1: how alike question and passage are as wholes",
    )
    search.add_argument(
        "--exact", action="store_true", help="score every window, also where the index could prune"
    )
    search.add_argument(
        "--explain",
        action="store_true",
        help="mark the words that matched: in colour, or in brackets where there is none or NO_COLOR is set",
    )
    search.add_argument(
        "--json", action="store_true", help="one JSON object for each hit, each on a line of its own"
    )
    model_options.declare(search, model="default: the model of the collection; another must give equal rows")
    search.set_defaults(run=_search)

    evaluate = commands.add_parser(
        "eval", help="measure retrieval on a BEIR directory, or a collection by your own questions"
    )
    evaluate.add_argument(
        "corpus",
        type=Path,
        metavar="DIR",
        help="a collection, if QUESTIONS follow; else it holds corpus.jsonl, queries.jsonl and qrels",
    )
    evaluate.add_argument(
        "questions",
        type=Path,
        nargs="?",
        metavar="QUESTIONS",
        help='lines such as {"question": "Who wrote it?", "relevant": ["doc-3"]}, with ids of the collection',
    )
    evaluate.add_argument(
        "--tune", action="store_true", help="propose settings and a score threshold from QUESTIONS"
    )
    evaluate.add_argument("--language", help="of a corpus.LANG.jsonl")
    evaluate.add_argument("--query-language", help="of a queries.LANG.jsonl, if another")
    evaluate.add_argument("--pruned", action="store_true", help="also measure the pruned search")
    evaluate.add_argument("--no-baselines", action="store_true", help="leave out BM25 and the single vector")
    evaluate.add_argument("--cache", type=Path, metavar="DIR", help="keep what was encoded for the next call")
    model_options.declare(evaluate, model=f"may stand several times (default: {DEFAULT_MODEL})", several=True)
    evaluate.set_defaults(run=_evaluate)


def _search(options: argparse.Namespace) -> int:
    with existing(options.collection, options) as collection:
        hits = collection.search(
            options.question,
            k=options.k,
            filter=options.filter,
            score_threshold=options.threshold,
            words=options.words,
            pooled=options.pooled,
            exact=options.exact,
        )
        found = [collection.explain(options.question, hit) for hit in hits] if options.explain else []
    if options.json:
        for place, hit in enumerate(hits):
            marked = {"highlights": [asdict(one) for one in found[place].highlights()]} if found else {}
            shown = asdict(hit) | marked
            for name in ("parts", "passages"):  # as they were before these were asked for
                if not shown[name]:
                    del shown[name]
            say_json(shown)
    elif found:
        say_safe("\n".join(_explained(*one) for one in zip(count(1), hits, found, strict=False)))
    else:
        say(show(hits) or "Nothing found.")
    return 0


def _explained(rank: int, hit: Hit, evidence: Evidence) -> str:
    passage, snippet = evidence.passage, evidence.snippet(MOST_SHOWN)
    shown = (snippet.start, snippet.end)
    if passage is not None and len(passage.text) <= MOST_SHOWN:
        shown = (passage.start, passage.end)
    marks = [(one.start, one.end, one.weight) for one in evidence.highlights()]
    return show_evidence(
        rank,
        hit.id,
        (hit.score, hit.normalized_score),
        hit.text,
        shown,
        marks,
        colour=has_colour(sys.stdout),
    )


def _evaluate_own(options: argparse.Namespace) -> int:
    from retrievers import evaluate

    queries, qrels = evaluate.read_questions(options.questions)
    if options.model and len(options.model) > 1:
        raise InvalidInputError("a collection has one model: name one with --model, or none.")
    options.model = options.model[0] if options.model else None
    with existing(options.corpus, options) as collection:
        report = evaluate.evaluate_own(
            collection,
            queries,
            qrels,
            baselines=() if options.no_baselines else evaluate.BASELINES,
            language=options.language or "en",
            tuned=options.tune,
        )
    say(report.markdown())
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    from retrievers import evaluate

    if options.questions is not None:
        return _evaluate_own(options)
    if options.tune:
        raise InvalidInputError(
            "--tune needs a collection and QUESTIONS: retrievers eval DIR questions.jsonl --tune."
        )
    models = options.model or [DEFAULT_MODEL]
    if options.revision is not None and len(models) > 1:
        raise InvalidInputError(
            f"--revision belongs to one model, and {len(models)} were named with --model."
        )
    table = evaluate.main(
        options.corpus,
        models=(model_options.load(name, options) for name in models),
        modes=("exact", "pruned") if options.pruned else ("exact",),
        baselines=() if options.no_baselines else ("BM25", "single vector"),
        language=options.language,
        query_language=options.query_language,
        cache=options.cache,
    )
    say(table.markdown())
    return 0
