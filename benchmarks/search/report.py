"""What was measured, as Markdown tables and a plot of recall against latency."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from benchmarks.search.engine import THREADS
from benchmarks.search.limit import Limit
from benchmarks.search.measure import Point, Result
from benchmarks.search.scale import Crowd, Filtered, Opened, Optimised
from retrievers._version import __version__

RIVALS = ("numpy float32", "torch bfloat16", "maxsim-cpu")
"""Brute force that the exact scan is compared with."""


def revision() -> str:
    """The commit that is measured."""
    run = ["git", "rev-parse", "--short", "HEAD"]
    here = Path(__file__).parent
    found = subprocess.run(run, cwd=here, capture_output=True, text=True, check=False).stdout.strip()
    return found or "unknown"


def machine() -> str:
    """Processor, cores and versions of this run."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    named = {line.split(":")[0].strip(): line.split(":")[-1].strip() for line in lines}
    model = f"{named.get('model name', platform.processor())} (model {named.get('model', '?')})"
    versions = ", ".join(
        f"{name} {version(name)}" for name in ("numpy", "llvmlite", "torch", "sentence-transformers")
    )
    return (
        f"{model}, {os.cpu_count()} cores, {THREADS} threads each; Python {platform.python_version()}, {versions}; "
        f"maxsim-retrievers {__version__}."
    )


def speed_table(results: Sequence[Result]) -> str:
    """One line an operating point: recall, latency, throughput."""
    lines = [
        "| engine | options | recall@10 | over questions | p50 ms | p95 ms | samples | questions/s, all in one call |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for result in results:
        name = result.contender.name
        for point in result.points:
            numbers = f"{point.quantile(0.5) * 1e3:.2f} | {point.quantile(0.95) * 1e3:.2f}"
            lines.append(
                f"| {name} | {_options(point)} | {point.recall:.4f} | {point.asked} | {numbers} "
                f"| {len(point.times)} | {_number(point.throughput, 1)} |"
            )
        if result.failure:
            lines.append(f"| {name} | {result.failure} | | | | | | |")
    return "\n".join(lines)


def cost_table(results: Sequence[Result]) -> str:
    """One line an engine: build, size, changes, memory."""
    lines = [
        "| engine | build s | bytes a token | open s | add 100 s | delete 100 s | peak memory MB, search "
        "| of it at the end in no file | peak memory MB, build | |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---|",
    ]
    for result in results:
        if not result.points:
            continue
        built, memory = result.build, result.memory
        fields = [
            ("≤ " if built.get("others", 0) > 0.2 else "") + _number(built.get("seconds"), 1),
            _number(built["bytes"] / built["tokens"] if built else None, 1),
            _number(result.open_seconds, 2),
            _number(result.add_seconds, 3),
            _number(result.delete_seconds, 3),
            *(_number(memory.get(name, 0) / 1e6 if memory else None, 0) for name in ("peak", "anonymous")),
            _number(built["peak"] / 1e6 if built else None, 0),
        ]
        lines.append(f"| {result.contender.name} | {' | '.join(fields)} | {result.note} |")
    return "\n".join(lines)


def verdict(results: Sequence[Result]) -> str:
    """The ratios that this library is judged by, from medians of this run."""
    by_name = {result.contender.name: result for result in results if result.points}
    lines = []
    exact, pruned = by_name.get("exact scan"), by_name.get("pruned scan")
    rivals = [by_name[name] for name in RIVALS if name in by_name]
    if exact and rivals:
        fastest = min(rivals, key=lambda result: result.points[0].quantile(0.5))
        ratio = fastest.points[0].quantile(0.5) / exact.points[0].quantile(0.5)
        lines.append(
            f"- The exact scan is {ratio:.1f} times as fast as the fastest brute force, {fastest.contender.name}."
        )
    for name in ("avx2", "portable"):
        forced, torch = by_name.get(f"exact scan, {name} path"), by_name.get("torch float32")
        if forced and torch:
            ratio = torch.points[0].quantile(0.5) / forced.points[0].quantile(0.5)
            lines.append(
                f"- Forced to the {name} path it is {ratio:.1f} times as fast as torch float32 brute force."
            )
    if exact and pruned:
        good = [point for point in pruned.points if point.recall >= 0.99]
        if good:
            point = min(good, key=lambda point: point.quantile(0.5))
            ratio = exact.points[0].quantile(0.5) / point.quantile(0.5)
            lines.append(
                f"- The pruned scan reaches recall {point.recall:.4f} ({_options(point)}) {ratio:.1f} times as fast as "
                f"the exact scan; at its defaults recall {pruned.points[0].recall:.4f}, "
                f"{exact.points[0].quantile(0.5) / pruned.points[0].quantile(0.5):.1f} times as fast."
            )
        else:
            lines.append("- The pruned scan reaches recall .99 at none of its operating points.")
    ours = [point for result in (exact, pruned) if result for point in result.points]
    for result in results:
        if result.contender.environment and result.points and ours:
            lines.append(_against(result, ours))
    return "\n".join(lines)


def _against(peer: Result, ours: Sequence[Point]) -> str:
    """Each operating point of a peer against our fastest one of at least its recall."""
    ratios, lost = [], []
    for point in peer.points:
        equal = [mine.quantile(0.5) for mine in ours if mine.recall >= point.recall]
        ratio = point.quantile(0.5) / min(equal) if equal else 0.0
        ratios.append(ratio)
        if ratio < 1:
            lost.append(f"{_options(point)} (recall {point.recall:.3f}, {point.quantile(0.5) * 1e3:.2f} ms)")
    name = peer.contender.name
    spread = f"{min(ratios):.1f} to {max(ratios):.1f} times as fast over its {len(ratios)} operating points"
    text = f"- Against {name} at equal or better recall: {spread}."
    return f"{text} It wins at {'; '.join(lost)}." if lost else text


def company(others: float) -> str:
    """How busy the machine was with other work, and what that means for the figures."""
    text = f"Other processes kept {others:.2f} cores busy meanwhile, on average."
    if others > 0.2:
        text += (
            " **That is too much to quote a ratio:** engines that wait for all their threads at every step (torch, "
            "fast-plaid) lose more by it than others. Run it again on an idle machine."
        )
    return text


def limit_table(limits: Sequence[Limit]) -> str:
    """The exact scan against the multiply instruction alone, and against reading the rows alone."""
    lines = [
        "| kernel target | query tokens | instruction GOP/s | memory, one question | one question | share of the lower "
        "| eight questions in a call | share of the instruction |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for limit in limits:
        lines.append(
            f"| {limit.target} | {limit.query_tokens} | {limit.peak / 1e9:.0f} | {limit.memory / 1e9:.0f} "
            f"| {limit.scan / 1e9:.0f} | {limit.scan / min(limit.peak, limit.memory):.0%} "
            f"| {limit.several / 1e9:.0f} | {limit.several / limit.peak:.0%} |"
        )
    return "\n".join(lines)


def crowd_table(crowds: Sequence[Crowd]) -> str:
    lines = ["| threads | search | questions/s | wrong answers |", "|---:|---|---:|---:|"]
    for crowd in crowds:
        way = "exact" if crowd.exact else "default"
        lines.append(f"| {crowd.threads} | {way} | {crowd.throughput:.0f} | {crowd.wrong} |")
    return "\n".join(lines)


def filter_line(found: Filtered) -> str:
    return (
        f"A filter that keeps {found.kept:,} of {found.windows:,} windows: p50 {found.filtered * 1e3:.1f} ms, without "
        f"it {found.whole * 1e3:.1f} ms ({found.whole / found.filtered:.0f} times as long); {found.wrong} answers with "
        "a passage that the filter excludes, or too few."
    )


def optimise_line(found: Optimised) -> str:
    return (
        f"`optimize()` of {found.tokens:,} tokens takes {found.seconds:.1f} s (other processes kept {found.others:.2f} "
        "cores busy meanwhile)."
    )


def open_line(found: Opened) -> str:
    return (
        f"A collection of {found.windows:,} windows is open after {found.opened:.2f} s in a fresh process, and has "
        f"answered its first question after {found.answered:.2f} s."
    )


def plot(titled: Sequence[tuple[str, Sequence[Result]]], path: Path) -> None:
    """Recall against the median latency, a panel a set; up and to the left is better."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(
        1, len(titled), figsize=(6.2 * len(titled), 5.2), squeeze=False, sharey=True
    )
    for panel, (title, results) in zip(panels[0], titled, strict=True):
        for n, result in enumerate(result for result in results if result.points):
            points = sorted(result.points, key=lambda point: point.quantile(0.5))
            ours = result.contender.engine.startswith("benchmarks.search.ours")
            panel.plot(
                [point.quantile(0.5) * 1e3 for point in points],
                [point.recall for point in points],
                marker="o" if ours else "s",
                markersize=7 if ours else 5,
                linewidth=2 if ours else 1,
                color=plt.get_cmap("tab20")(n % 20),
                label=result.contender.name,
            )
        panel.set(xscale="log", xlabel="median latency of a question, ms", title=title)
        panel.grid(visible=True, which="both", alpha=0.25)
    panels[0][0].set_ylabel("recall@10 against float32 MaxSim")
    panels[0][-1].legend(loc="lower right", fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _options(point: Point) -> str:
    return ", ".join(f"{name}={value}" for name, value in point.options.items()) or "default"


def _number(value: float | None, digits: int) -> str:
    return "" if value is None or value != value else f"{value:,.{digits}f}"
