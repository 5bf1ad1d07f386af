"""How many candidates a search on Qdrant needs, and whether its exact mode ranks as a directory does.

    python -m benchmarks.qdrant --data ../shared/data

It needs qdrant-edge-py, Qdrant's engine in process, and writes results/qdrant.md. What was encoded stays in the cache,
and so does each part that is finished: called again it goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from datetime import date
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("HF_HUB_OFFLINE", "1")

from benchmarks.qdrant.data import DOCUMENTS, NOISE, REDUCED, Set, directions, encoded, pool
from benchmarks.qdrant.ends import compared
from benchmarks.qdrant.ranks import TOP, best, first_stage, ndcg, scores
from benchmarks.search.report import revision
from retrievers.qdrant.calls import MOST_CANDIDATES, default_candidates

HERE = Path(__file__).resolve().parents[1]
SETS = ("squad-sent", "scifact")
WINDOWS = (5_000, 20_000, 100_000)
CANDIDATES = (50, 100, 200, 300, 500, 1000, 2000, 5000)
END_TO_END = {"squad-sent": 2500, "scifact": 600}  # documents from end to end, those that are relevant first
ENDS = {"squad-sent": 150, "scifact": 50}  # questions that are asked there
ALL = 40  # questions that are asked of all documents that were encoded
SCORED = (50, 100, 200, 500)  # candidates there
ASKED = {5_000: 100, 20_000: 100, 100_000: 40}  # questions of each set, by number of windows


def main() -> None:
    chosen = parser().parse_args()
    sets: list[Set] = []
    for name, job in jobs(chosen, sets):
        kept = chosen.cache / f"qdrant-{name}.json"
        if chosen.parts is not None and name not in chosen.parts:
            continue
        if not kept.exists() and not chosen.only_write:
            if not sets:
                sets += [encoded(chosen.data, one, chosen.cache) for one in SETS]
            print(f"{name} …", flush=True)
            kept.write_text(json.dumps({**job(), "measured": stamp()}))
        if kept.exists():
            print(name, kept.read_text(), flush=True)
    chosen.output.write_text(page(chosen.cache), encoding="utf-8")
    print(f"written: {chosen.output}")


def stamp() -> str:
    """When, of which revision and on what something is measured."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    named = {line.split(":")[0].strip(): line.split(":")[-1].strip() for line in lines}
    model = f"{named.get('model name', platform.processor())} (family {named.get('cpu family', '?')}, "
    model += f"model {named.get('model', '?')})"
    return f"{date.today()} at {revision()} on {os.cpu_count()} cores of an {model}"


def parser() -> argparse.ArgumentParser:
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "maxsim-retrievers" / "quality"
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--cache", type=Path, default=cache, help="default: %(default)s")
    parser.add_argument("--output", type=Path, default=HERE / "results" / "qdrant.md")
    parser.add_argument("--parts", nargs="*", help="measure these alone, 20000-384 or scifact-128 say")
    parser.add_argument("--only-write", action="store_true", help="write the page from the finished parts")
    return parser


def jobs(chosen: argparse.Namespace, sets: Sequence[Set]) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Name and work of each part, the quick ones first."""
    for dim in (REDUCED, 384):
        for (place, name), words in product(reversed(list(enumerate(SETS))), (False, True)):

            def job(place: int = place, name: str = name, dim: int = dim, words: bool = words) -> Any:
                chosen = in_dim(sets, dim)[place].first(END_TO_END[name])
                return asdict(compared(chosen.asking(ENDS[chosen.name]), SCORED, words=words))

            yield f"{name}-{dim}{'-words' if words else ''}", job
    for (place, name), dim in product(enumerate(SETS), (REDUCED, 384)):

        def whole(place: int = place, dim: int = dim) -> Any:
            return asdict(compared(in_dim(sets, dim)[place].asking(ALL), ()))

        yield f"{name}-{dim}-all", whole
    for count in WINDOWS:
        for dim in (REDUCED, 384):
            yield f"{count}-{dim}", lambda count=count, dim=dim: by_windows(in_dim(sets, dim), count)


def in_dim(sets: Sequence[Set], dim: int) -> list[Set]:
    if dim == sets[0].dim:
        return list(sets)
    chosen = directions(sets, dim)
    return [one.reduced(chosen) for one in sets]


def by_windows(sets: Sequence[Set], count: int) -> dict[str, Any]:
    """Recall and quality by number of candidates, of so many windows of all sets together."""
    chosen, most_asked = pool(sets, count), ASKED.get(count, 100)
    owners, relevant, queries = [], [], []
    ends = np.cumsum([len(one.offsets) - 1 for one in sets])
    places: dict[tuple[int, str | None, int], int] = {}
    for number, copy in zip(chosen.order, chosen.copies, strict=True):
        place = int(np.searchsorted(ends, number, side="right"))
        one = sets[place]
        window = int(number - (ends[place - 1] if place else 0))
        document = one.documents[int(np.searchsorted(one.windows, window, side="right")) - 1]
        owners.append(places.setdefault((place, document.id, int(copy)), len(places)))
    for place, one in enumerate(sets):
        for question, matrix in list(zip(one.questions, one.queries, strict=True))[:most_asked]:
            keys = [key for key, value in one.qrels[question].items() if value]
            relevant.append({places[place, key, 0] for key in keys if (place, key, 0) in places})
            queries.append(matrix)
    borders = np.cumsum([min(most_asked, len(one.questions)) for one in sets])[:-1]
    found = scores(chosen, np.array(owners), queries)
    every = [best(exact, found.owners, None) for exact in found.exact]
    most = min(CANDIDATES[-1], count)
    with tempfile.TemporaryDirectory() as folder:
        windows = first_stage(found, most, Path(folder))
    nearest = np.argsort(-(found.asked @ found.pooled.T), axis=1)[:, :200]
    graph = [len(set(one[:200]) & set(two)) / 200 for one, two in zip(windows, nearest, strict=True)]
    rows = []
    for candidates in sorted({*CANDIDATES, default_candidates(count)}):
        ranked = [
            best(one, found.owners, some[:candidates]) for one, some in zip(found.exact, windows, strict=True)
        ]
        recall = [len(set(one) & set(two)) / TOP for one, two in zip(ranked, every, strict=True)]
        halves = [float(np.mean(part)) for part in np.split(np.array(recall), borders)]
        rows.append((candidates, float(np.mean(recall)), *halves, _mean_ndcg(ranked, relevant)))
    return {
        "windows": count,
        "documents": len(places),
        "rows": rows,
        "exact": _mean_ndcg(every, relevant),
        "graph": float(np.mean(graph)),
    }


def _mean_ndcg(ranked: Sequence[Sequence[int]], relevant: Sequence[set[int]]) -> float:
    return float(np.mean([ndcg(one, two) for one, two in zip(ranked, relevant, strict=True)]))


def page(cache: Path) -> str:
    def part(name: str) -> Any:
        kept = cache / f"qdrant-{name}.json"
        return json.loads(kept.read_text()) if kept.exists() else None

    lines = [
        "# Candidates of a search on Qdrant",
        "",
        "Written by `python -m benchmarks.qdrant`. The engine is Qdrant's own, in process "
        f"(qdrant-edge-py {version('qdrant-edge-py')}); the client, {version('qdrant-client')}, speaks to it over a "
        "loopback server. The model is `offline/minilm` with `mean_weight=0` and `query_weights=[]`, whose 384 "
        "dimensions are reduced to 128 as in the search benchmark. It was trained for the mean of its rows, which "
        "favours this first stage: measure with a trained late-interaction checkpoint of your own before you rely on "
        "it.",
        "",
        "## The default",
        "",
        "The default of `candidates` is three times the square root of the number of windows, from 200 to "
        f"{MOST_CANDIDATES:,}. The candidates that find .95 of the ten best grow a little slower than that root; "
        "nDCG@10 of the default is that of all windows:",
        "",
        "| windows | dimensions | candidates | recall@10 | nDCG@10 | nDCG@10 of all windows |",
        "|--:|--:|--:|--:|--:|--:|",
        *(
            f"| {count:,} | {dim} | {row[0]} | {row[1]:.3f} | {row[-1]:.3f} | {one['exact']:.3f} |"
            for count, dim in product(WINDOWS, (REDUCED, 384))
            for one in [part(f"{count}-{dim}") or {"rows": []}]
            for row in one["rows"]
            if row[0] == default_candidates(count)
        ),
        "",
        "## By size of the collection",
        "",
        f"Windows of scifact and squad-sent together, {ASKED[5_000]} questions of each ({ASKED[100_000]} at 100 000 "
        "windows); beyond the real windows, copies with "
        f"noise on their vectors ({NOISE} a dimension of 128, cosine .87 to the original). The engine's index of the "
        "pooled vectors gives the candidates. Recall@10 is the share of the ten best documents by MaxSim over all "
        "windows that are found by MaxSim over the candidates. A copy counts as another document that is not "
        "relevant, so that nDCG@10 is to be compared within a table. The row in bold is the default of `candidates`.",
    ]
    for count in WINDOWS:
        for dim in (REDUCED, 384):
            if (one := part(f"{count}-{dim}")) is not None:
                lines += ["", f"### {count:,} windows, {dim} dimensions", ""]
                lines += [
                    "| candidates | recall@10 | squad-sent | scifact | nDCG@10 |",
                    "|--:|--:|--:|--:|--:|",
                ]
                for row in one["rows"]:
                    values = [f"{row[0]}", *(f"{value:.3f}" for value in row[1:])]
                    values = (
                        [f"**{value}**" for value in values]
                        if row[0] == default_candidates(count)
                        else values
                    )
                    lines.append("| " + " | ".join(values) + " |")
                lines.append(f"| all windows | 1 | 1 | 1 | {one['exact']:.3f} |")
                lines += ["", f"Of the 200 nearest pooled vectors the engine finds {one['graph']:.1%}."]
                lines[-1] += f" Measured {one['measured']}."
    lines += [
        "",
        "## From end to end",
        "",
        "The same documents in `QdrantCollection` and in a directory. *Same order*: questions whose "
        "ten documents of `exact=True` are those of the directory's exact scan in the same order; *within rounding*: "
        "those where each place has the directory's score within twice the largest difference of a score, which is "
        "float16's.",
        "",
        "| set | documents | dimensions | questions | same order | within rounding | largest difference | nDCG@10 "
        "| measured |",
        "|---|--:|--:|--:|--:|--:|--:|--:|---|",
    ]
    for name, dim in product(SETS, (384, REDUCED)):
        for which, documents in (("", END_TO_END[name]), ("-all", DOCUMENTS[name])):
            if (one := part(f"{name}-{dim}{which}")) is not None:
                close = one["same"] + one["swapped"]
                lines.append(
                    f"| {name} | {documents:,} | {dim} | {one['questions']} | {one['same']} | {close} | "
                    f"{one['rounding']:.5f} | {one['exact']:.3f} | {one['measured']} |"
                )
    lines += [
        "",
        "Of the fewer documents, by number of candidates. With words: with `words=True`, so that BM25 chooses half of "
        "as many candidates.",
        "",
        "| set | dimensions | words | candidates | recall@10 | nDCG@10 |",
        "|---|--:|---|--:|--:|--:|",
    ]
    for name, dim, words in product(SETS, (384, REDUCED), ("", "-words")):
        for count, recall, quality in (part(f"{name}-{dim}{words}") or {"rows": []})["rows"]:
            with_words = "with" if words else "without"
            lines.append(f"| {name} | {dim} | {with_words} | {count} | {recall:.3f} | {quality:.3f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
