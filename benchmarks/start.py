"""What a cold `retrievers search` costs beside the imports that it cannot do without, and a program's first question.

    python -m benchmarks.start [--rounds 5]

Each command is a process of its own, in turns. Processor seconds are those of the process and of all its threads: on a
computer that does other things too they say more than the time that passes.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.search.report import machine as processor
from retrievers import Collection, LateInteractionEncoder

TEXTS = ["Tides follow the moon.", "Bread needs time.", "Bees dance to tell where flowers are."]
SEARCH = "import sys; from retrievers.cli.main import main; sys.exit(main(['search', '{}', 'why is there a tide']))"
IMPORTS = {
    "torch": "import torch",
    "BERT": "import torch; from transformers import BertModel, AutoTokenizer",
    "sentence-transformers": "import sentence_transformers",
}
FIRST = """
import json, sys, time
from retrievers import Collection
taken = []
with Collection.open(sys.argv[1]) as collection:
    collection.encoder
    if sys.argv[2] == "warm":
        collection.warm()
    for question in ("why is there a tide", "how does bread rise", "who dances", "what is far from here") * 5:
        start = time.perf_counter()
        collection.search(question)
        taken.append(1000 * (time.perf_counter() - start))
print(json.dumps(taken))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/start.md"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        offline, saved = f"{directory}/offline", f"{directory}/checkpoint"
        encoder = LateInteractionEncoder("offline/minilm")
        # A checkpoint without the mixing, which no library but this one loads.
        LateInteractionEncoder("offline/minilm", mean_weight=0).model.save_pretrained(saved)
        for path, model in (
            (offline, encoder),
            (f"{directory}/of-checkpoint", LateInteractionEncoder(saved)),
        ):
            with Collection(path, model) as collection:
                collection.add(TEXTS)
        commands = {
            **IMPORTS,
            "search, offline model": SEARCH.format(offline),
            "search, checkpoint": SEARCH.format(f"{directory}/of-checkpoint"),
        }
        seconds = turns(commands, arguments.rounds)
        first = {how: questions(offline, how, arguments.rounds) for how in ("cold", "warm")}
    text = report(seconds, first, arguments.rounds)
    print(text)
    arguments.output.write_text(text, "utf-8")


def turns(commands: dict[str, str], rounds: int) -> dict[str, list[float]]:
    """Processor seconds of each command, a round each in turns; the first round fills caches and is not counted."""
    taken: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(rounds + 1):
        for name, code in commands.items():
            before = os.times()
            subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
            after = os.times()
            if number:
                spent = after.children_user - before.children_user
                taken[name].append(spent + after.children_system - before.children_system)
    return taken


def questions(path: str, how: str, rounds: int) -> tuple[float, float]:
    """Milliseconds of the first question of a program, and of the later ones: medians over the rounds."""
    found = []
    for _ in range(rounds):
        done = subprocess.run([sys.executable, "-c", FIRST, path, how], check=True, capture_output=True)
        found.append(json.loads(done.stdout))
    later = statistics.median(one for taken in found for one in taken[4:])
    return statistics.median(taken[0] for taken in found), later


def report(seconds: dict[str, list[float]], first: dict[str, tuple[float, float]], rounds: int) -> str:
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    lines = [
        "# A start without a wait",
        "",
        f"`python -m benchmarks.start --rounds {rounds}`, {time.strftime('%Y-%m-%d')}, {processor()} "
        "Processor seconds of a process, medians; the commands took turns.",
        "",
        "| process | processor seconds | × BERT | × sentence-transformers |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {value:.2f} | {value / medians['BERT']:.2f} | {value / medians['sentence-transformers']:.2f} |"
        for name, value in medians.items()
    ]
    lines += ["", "BERT is `" + IMPORTS["BERT"] + "`.", ""]
    lines += ["| opened | first question, ms | later ones, ms | × |", "|---|---|---|---|"]
    lines += [
        f"| {how} | {one:.1f} | {later:.1f} | {one / later:.1f} |" for how, (one, later) in first.items()
    ]
    lines += ["", "`warm` is after `collection.warm()`; the model is loaded in both.", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
