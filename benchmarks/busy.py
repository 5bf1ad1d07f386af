"""What one question costs to encode, and many at once: on an idle computer, and where other processes spin.

    python -m benchmarks.busy [--questions 40]

"torch's threads" is how questions were encoded before: each in the thread that asks, with as many threads as torch
takes. "together" is retrievers.encoder.together. The ways take turns. Processor time is that of all threads of the
process, per question.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from benchmarks.search.report import machine as processor
from retrievers import Collection, LateInteractionEncoder
from retrievers.collection.asynchronous import asynchronous

SPINNING = 4
ASKING = (1, 2, 8, 32)
WORDS = [
    "moon",
    "tide",
    "bread",
    "bees",
    "dance",
    "glass",
    "river",
    "stone",
    "cloud",
    "paper",
    "salt",
    "coal",
]
QUESTIONS = [f"why does the {one} of the {other} change in winter" for one in WORDS for other in WORDS]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--questions", type=int, default=40, help="asked of each way in each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--documents", type=int, default=2000)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/busy.md"))
    arguments = parser.parse_args()
    encoder = LateInteractionEncoder("offline/minilm", device="cpu")

    def apart(text: str) -> object:
        return encoder._batched("query", encoder._preprocess([text], "query"))

    def together(text: str) -> object:
        return encoder.encode_queries([text])

    ways = {"torch's threads": apart, "together": together}
    lines = [
        "# Questions on an idle and on a busy computer",
        "",
        f"`python -m benchmarks.busy --questions {arguments.questions} --rounds {arguments.rounds}`, "
        f"{time.strftime('%Y-%m-%d')}, {processor()} `offline/minilm`. Medians of "
        "rounds in turns; load is the number of other processes that spin.",
        "",
        "| load | threads asking | way | processor ms | ms until the answer, median | questions a second |",
        "|---|---|---|---|---|---|",
    ]
    for load in (0, SPINNING):
        with spinning(load):
            for threads in ASKING:
                for name, (spent, waited, rate) in measured(ways, threads, arguments).items():
                    lines.append(f"| {load} | {threads} | {name} | {spent:.1f} | {waited:.1f} | {rate:.1f} |")
                    print(lines[-1], flush=True)
    lines += ["", *at_once(encoder, arguments)]
    text = "\n".join(lines) + "\n"
    print(text)
    arguments.output.write_text(text, "utf-8")


def measured(
    ways: dict[str, Callable[[str], object]], threads: int, arguments: argparse.Namespace
) -> dict[str, tuple[float, float, float]]:
    """Processor milliseconds and milliseconds until the answer of a question, and questions a second, by way."""
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in ways}
    asked = QUESTIONS[: max(arguments.questions, threads)]
    with ThreadPoolExecutor(threads) as pool:
        for number in range(arguments.rounds + 1):
            for name, way in ways.items():

                def timed(text: str, way: Callable[[str], object] = way) -> float:
                    start = time.perf_counter()
                    way(text)
                    return 1000 * (time.perf_counter() - start)

                start, spent = time.perf_counter(), time.process_time()
                waited = list(pool.map(timed, asked))
                seconds, spent = time.perf_counter() - start, time.process_time() - spent
                if number:  # the first round warms up
                    found[name].append(
                        (1000 * spent / len(asked), statistics.median(waited), len(asked) / seconds)
                    )
    return {
        name: tuple(statistics.median(column) for column in zip(*rounds, strict=True))  # type: ignore[misc]
        for name, rounds in found.items()
    }


def at_once(encoder: LateInteractionEncoder, arguments: argparse.Namespace) -> list[str]:
    """64 questions through coroutines, beside one by one: a table."""
    texts = [f"{one} {other} and the {third} in it" for one in WORDS for other in WORDS for third in WORDS]
    with Collection(None, encoder) as collection:
        collection.add(texts[: arguments.documents])
        twin, some = asynchronous(collection), QUESTIONS[:64]

        async def gathered() -> list[object]:
            return await asyncio.gather(*(twin.asearch(text) for text in some))

        async def one_by_one() -> list[object]:
            return [await twin.asearch(text) for text in some]

        taken: dict[str, list[float]] = {"one by one": [], "64 at once": []}
        for number in range(arguments.rounds + 1):
            for name, way in (("one by one", one_by_one), ("64 at once", gathered)):
                start = time.perf_counter()
                found = asyncio.run(way())
                if number:
                    taken[name].append(len(some) / (time.perf_counter() - start))
                else:
                    kept = [(hit.id, round(hit.score, 4)) for hits in found for hit in hits[:1]]  # type: ignore[index]
                    print(name, len(kept))
    rates = {name: statistics.median(rounds) for name, rounds in taken.items()}
    return [
        f"64 questions through `asearch`, {arguments.documents} documents, no load:",
        "",
        "| asked | questions a second | × |",
        "|---|---|---|",
        *(f"| {name} | {rate:.1f} | {rate / rates['one by one']:.1f} |" for name, rate in rates.items()),
    ]


def _spin() -> None:
    while True:
        pass


@contextmanager
def spinning(count: int) -> Iterator[None]:
    """So many processes that keep a core busy each."""
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_spin, daemon=True) for _ in range(count)]
    for process in processes:
        process.start()
    try:
        if count:
            time.sleep(2)  # until they have imported what they import
        yield
    finally:
        for process in processes:
            process.kill()
            process.join()


if __name__ == "__main__":
    main()
