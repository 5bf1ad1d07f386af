"""Search on a GPU beside the processor of the same machine: recall, milliseconds a question, questions a second.

    python -m benchmarks.gpu [--data ../shared/data] [--large 200000] [--device cuda]

Passages and questions are those of benchmarks.search. "Rows copied for each call" is what a search would cost that kept
nothing on the GPU; "float16 by hand" is the product of all rows, kept as float16, with the question, and the maximum of
each passage, as one would write it with torch. Encoding is measured by `benchmarks.encoding speed --device cuda`.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.search.data import CACHE, Passages, encoded, recall, sample, unit
from benchmarks.search.ours import Exact
from benchmarks.search.report import machine, revision
from retrievers.search import gpu, rank
from retrievers.search.ranking import Ranking
from retrievers.store import View

HERE = Path(__file__).resolve().parent
K = 10
AT_ONCE = (1, 8, 200)
"""Questions in a call."""

Way = Callable[[Sequence[NDArray[np.float32]]], list[list[int]]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument(
        "--large", type=int, default=200_000, help="passages of the large set; 0 leaves it out"
    )
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--output", type=Path, default=HERE / "results" / "gpu.md")
    options = parser.parse_args()
    whole = encoded([options.data / "squad-sent", options.data / "scifact"], options.cache)
    lines = [*heading(options, whole), *table(options, whole)]
    if options.large:
        lines += table(options, sample(whole, options.large, cache=options.cache))
    text = "\n".join(lines) + "\n"
    print(text)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(text, encoding="utf-8")


def heading(options: argparse.Namespace, whole: Passages) -> list[str]:
    device = torch.device(options.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "the processor, as torch's device"
    questions = whole.questions()
    return [
        "# Search on a GPU",
        "",
        f"`python -m benchmarks.gpu`, {time.strftime('%Y-%m-%d')}, revision {revision()}; {name}, CUDA "
        f"{torch.version.cuda}. Beside it: {machine()} The processor's searches use all {os.cpu_count()} cores.",
        "",
        f"{len(questions)} questions of {sum(map(len, questions)) / len(questions):.0f} tokens on average, 128 "
        f"dimensions. Medians of {options.rounds} rounds in which the ways take turns; a call of one or eight is asked "
        "twenty times a round. Recall is of the ten best by float32.",
    ]


def table(options: argparse.Namespace, passages: Passages) -> list[str]:
    """All ways on one set of passages."""
    engine = Exact()
    with tempfile.TemporaryDirectory() as directory:
        index = Path(directory) / "index"
        engine.build(passages, len(passages), index)
        engine.open(passages, len(passages), index)
        questions = passages.questions()
        truth = true_scores(passages, questions, options.device)
        with engine.collection.store.read() as view:
            before = in_use(options.device)
            ways = contenders(view, passages, options.device)
            lines = [
                "",
                f"## {len(passages):,} passages, {int(passages.offsets[-1]):,} rows",
                "",
                f"The rows and their scales take {in_use(options.device, before) / 1e6:.0f} MB of the device.",
                "",
                "| search | recall@10 | "
                + " | ".join(f"ms, {count} at once | a second" for count in AT_ONCE)
                + " |",
                "|---|--:|" + "--:|--:|" * len(AT_ONCE),
            ]
            taken = measured(ways, questions, options.rounds)
            for name, way in ways.items():
                found = way(questions)
                good = np.mean([recall(each, scores) for each, scores in zip(found, truth, strict=True)])
                cells = [
                    f"{1000 * seconds:.2f} | {count / seconds:,.0f}"
                    for count, seconds in (
                        (count, statistics.median(taken[name, count])) for count in AT_ONCE
                    )
                ]
                lines.append(f"| {name} | {good:.4f} | {' | '.join(cells)} |")
                print(lines[-1], flush=True)
        engine.collection.close()
    return lines


def contenders(view: View, passages: Passages, device: str) -> dict[str, Way]:
    """Each takes question matrices and gives the passages' numbers, best first."""

    def numbers(found: list[Ranking]) -> list[list[int]]:
        return [[position for position, _ in ranking] for ranking in found]

    resident = gpu.DeviceRows(view, device=device)
    hand = ByHand(passages, device)
    return {
        "GPU, rows resident": lambda queries: numbers(resident.rank(queries, None, K)),
        "GPU, rows copied for each call": lambda queries: numbers(
            gpu.DeviceRows(view, device=device).rank(queries, None, K)
        ),
        "GPU, float16 by hand": hand,
        "processor, exact scan": lambda queries: numbers(rank(view, queries, None, K, exact=True)),
    }


def measured(
    ways: dict[str, Way], questions: list[NDArray[np.float32]], rounds: int
) -> dict[tuple[str, int], list[float]]:
    """Seconds of a call of each way and number of questions, over rounds; one round before them warms up."""
    taken: dict[tuple[str, int], list[float]] = {(name, count): [] for name in ways for count in AT_ONCE}
    for turn in range(rounds + 1):
        for count in AT_ONCE:
            for name, way in ways.items():
                calls = 20 if count < 100 and "copied" not in name else 1
                begin = time.perf_counter()
                for call in range(calls):
                    first = (turn * calls + call) * count % max(len(questions) - count + 1, 1)
                    way(questions[first : first + count])  # it ends with scores in the processor's memory
                if turn:
                    taken[name, count].append((time.perf_counter() - begin) / calls)
    return taken


class ByHand:
    """Rows as float16 on the device; a product, and a maximum of each passage."""

    def __init__(self, passages: Passages, device: str) -> None:
        self.device = torch.device(device)
        self.rows = torch.empty((int(passages.offsets[-1]), 128), dtype=torch.float16, device=self.device)
        tokens = passages.array("tokens")
        for first in range(0, len(tokens), 1 << 20):
            part = torch.from_numpy(unit(tokens[first : first + (1 << 20)]).astype(np.float16))
            self.rows[first : first + len(part)] = part.to(self.device)
        self.lengths = torch.from_numpy(np.diff(np.asarray(passages.offsets))).to(self.device)

    @torch.inference_mode()
    def __call__(self, queries: Sequence[NDArray[np.float32]]) -> list[list[int]]:
        found = []
        for query in queries:
            matrix = torch.from_numpy(query.astype(np.float16)).to(self.device)
            best = torch.segment_reduce(
                (self.rows @ matrix.T).float(), "max", lengths=self.lengths, axis=0, initial=-torch.inf
            )
            found.append(best.sum(1).topk(K).indices.tolist())
        return found


@torch.inference_mode()
def true_scores(
    passages: Passages, questions: Sequence[NDArray[np.float32]], device: str
) -> NDArray[np.float32]:
    """MaxSim in float32: (questions, passages)."""
    offsets, tokens = np.asarray(passages.offsets), passages.array("tokens")
    matrix = torch.from_numpy(np.concatenate(questions).T.copy()).to(device)
    counts = [len(question) for question in questions]
    scores = np.empty((len(questions), len(passages)), np.float32)
    for first in range(0, len(passages), 2000):
        last = min(first + 2000, len(passages))
        rows = torch.from_numpy(unit(tokens[offsets[first] : offsets[last]])).to(device)
        lengths = torch.from_numpy(np.diff(offsets[first : last + 1])).to(device)
        best = torch.segment_reduce(rows @ matrix, "max", lengths=lengths, axis=0, initial=-torch.inf)
        parts = [part.sum(1) for part in best.split(counts, dim=1)]
        scores[:, first:last] = torch.stack(parts).cpu().numpy()
    return scores


def in_use(device: str, before: int = 0) -> int:
    """Bytes that torch has given out on the device, less those before; 0 on a processor."""
    return torch.cuda.memory_allocated(device) - before if torch.device(device).type == "cuda" else 0


if __name__ == "__main__":
    main()
