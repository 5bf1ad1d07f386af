"""`python -m benchmarks.search [directories]`: measure, and write benchmarks/results/search.md and search.png."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.search import install, report, scale
from benchmarks.search.contenders import BRUTE, OURS, PEERS
from benchmarks.search.data import CACHE, DIM, NOISE, Passages, encoded, sample
from benchmarks.search.limit import limits
from benchmarks.search.load import Others
from benchmarks.search.measure import Result, build, measure

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"
RESULTS = ROOT / "benchmarks" / "results"
SPARE = 100
"""Passages that are kept out of the index, to be added and deleted."""


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.search", description=__doc__)
    parser.add_argument(
        "directories",
        nargs="*",
        type=Path,
        default=[DATA / "squad-sent", DATA / "scifact"],
        help="sets in BEIR form: corpus.jsonl and queries.jsonl, gzipped or not",
    )
    parser.add_argument(
        "--passages", type=int, nargs="*", default=[2000, 0], help="sizes; 0 means all there are"
    )
    parser.add_argument(
        "--large", type=int, default=200_000, help="passages of the large set; 0 leaves it out"
    )
    parser.add_argument("--optimize", type=int, default=3_000_000, help="tokens to optimize; 0: none")
    parser.add_argument("--windows", type=int, default=1_000_000, help="windows to open; 0 leaves that out")
    parser.add_argument("--no-peers", action="store_true", help="only what this environment has")
    parser.add_argument("--install", action="store_true", help="install missing peers first: gigabytes")
    parser.add_argument("--fresh", action="store_true", help="build every index again")
    parser.add_argument("--build-only", action="store_true", help="build the indexes of --passages, and stop")
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--processor", help="a kind of processor: the page becomes search-KIND.md")
    return parser.parse_args(given)


def main(given: Sequence[str] | None = None) -> None:
    chosen = arguments(given)
    absent = [directory for directory in chosen.directories if not directory.is_dir()]
    if absent:
        sys.exit(f"{absent[0]} is not there: give directories in BEIR form on the command line.")
    if chosen.fresh:
        shutil.rmtree(chosen.cache / "indexes", ignore_errors=True)
    if chosen.install:
        install.main(())
    whole = encoded(chosen.directories, chosen.cache)
    contenders = [*OURS, *BRUTE, *([] if chosen.no_peers else PEERS)]
    sections, panels = [], []
    for size in chosen.passages:
        count = min(size or len(whole) - SPARE, len(whole) - SPARE)
        passages = sample(whole, count, spare=SPARE, cache=chosen.cache)
        if chosen.build_only:
            build(passages, count, contenders, chosen.cache)
            continue
        others = Others()
        results = measure(passages, count, contenders, chosen.cache)
        share = others.share()
        index = chosen.cache / "indexes" / passages.directory.name
        near = limits(passages, count, index / "ours")
        sections.append(_section(passages, count, results, share, report.limit_table(near)))
        panels.append((f"{count:,} passages", results))
        chosen.results.mkdir(parents=True, exist_ok=True)
        report.plot(panels, chosen.results / f"{_name(chosen)}.png")
        _write(chosen, whole, sections)
    if chosen.build_only:
        return
    crowds = scale.crowds(passages, index / "ours-optimised")
    sections.append(
        f"## Many threads on one collection of {count:,} passages\n\n{report.crowd_table(crowds)}"
    )
    if chosen.optimize:
        medium = sample(whole, int(chosen.optimize / (whole.offsets[-1] / len(whole))), cache=chosen.cache)
        found = scale.optimise(medium, chosen.cache)
        sections.append(f"## Building the centroids\n\n{report.optimise_line(found)}")
    _write(chosen, whole, sections)
    if chosen.large:
        sections.append(_large(whole, chosen))
    _write(chosen, whole, sections)
    if chosen.windows:
        many = scale.open_many(chosen.windows, chosen.cache)
        sections.append(f"## Many windows\n\n{report.open_line(many)}")
        _write(chosen, whole, sections)
    print((chosen.results / f"{_name(chosen)}.md").read_text())


def _name(chosen: argparse.Namespace) -> str:
    return f"search-{chosen.processor}" if chosen.processor else "search"


def _write(chosen: argparse.Namespace, whole: Passages, sections: Sequence[str]) -> None:
    """After each section: an hour's work is not lost when the last part fails."""
    chosen.results.mkdir(parents=True, exist_ok=True)
    name = _name(chosen)
    (chosen.results / f"{name}.md").write_text(_page(name, whole, sections))


def _page(name: str, whole: Passages, sections: Sequence[str]) -> str:
    tokens = int(whole.offsets[-1])
    questions = whole.questions()
    words = sum(map(len, questions)) / len(questions)
    intro = f"""# Search speed

Written by `make bench` (`python -m benchmarks.search`, see ../README.md) at revision {report.revision()}, \
{datetime.now(UTC):%Y-%m-%d}.

Machine: {report.machine()}

Text: {whole.name}, {len(whole):,} passages of {tokens / len(whole):.0f} tokens on average and {len(questions)} \
questions of {words:.1f} tokens, encoded by MiniLM and reduced to {DIM} dimensions. All engines get the same \
matrices. Latency is that of single questions, in rounds in which every engine takes its turn; recall is against \
float32 MaxSim over the same matrices, ties counted.

![Recall against latency]({name}.png)"""
    return "\n\n".join([intro, *sections]) + "\n"


def _section(passages: Passages, count: int, results: Sequence[Result], others: float, limit: str) -> str:
    tokens = int(passages.offsets[count])
    return f"""## {count:,} passages, {tokens:,} tokens

{report.verdict(results)}

{report.speed_table(results)}

{report.company(others)}

{report.cost_table(results)}

The exact scan against the multiply instruction alone (registers only) and against reading the rows alone, on \
{report.THREADS} threads, in turns:

{limit}"""


def _large(whole: Passages, chosen: argparse.Namespace) -> str:
    passages = sample(whole, chosen.large, spare=SPARE, cache=chosen.cache)
    contenders = [contender for contender in OURS if contender.name in ("exact scan", "pruned scan")]
    results = measure(passages, chosen.large, contenders, chosen.cache)
    narrow = scale.narrow_filter(passages, chosen.large // 2, chosen.cache)
    copies = max(0, chosen.large - len(whole))
    return f"""## {chosen.large:,} passages, {int(passages.offsets[chosen.large]):,} tokens

{copies:,} of them are copies of real passages with noise on their vectors (standard deviation {NOISE} a dimension).

{report.verdict(results)}

{report.speed_table(results)}

{report.cost_table(results)}

{report.filter_line(narrow)}"""


if __name__ == "__main__":
    main()
