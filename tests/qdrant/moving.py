"""A real collection moves to a server and back while the processes that move it are killed.

    python -m tests.qdrant.moving --data ../shared/data/scifact --kills 10

The texts are encoded by offline/minilm. `retrievers push` and `retrievers pull` are processes of their own that die by
SIGKILL after a random number of requests. In the end every row and every scale must be the original's, byte for byte,
and so must be the answers to 300 questions. The server is the loopback one, which keeps everything on disk.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

from qdrant_client import QdrantClient

from retrievers import Collection, Document, LateInteractionEncoder
from retrievers.qdrant import QdrantCollection
from tests.qdrant.server import Server

QUESTIONS = 300
EXACT = 40  # questions that are asked exactly of the server
TIE = 0.002  # of two scores, which add up dozens of products of float16


def lines(path: Path) -> Iterator[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        yield from map(json.loads, file)


def built(data: Path, place: Path, documents: int | None) -> Collection:
    """The collection that moves, encoded unless an earlier run has left it."""
    given = [
        Document(one["text"], one["_id"], {"title": one.get("title", "")}, f"{one.get('title', '')}\n")
        for one in lines(data / "corpus.jsonl.gz")
    ]
    collection = Collection(place, LateInteractionEncoder("offline/minilm"))
    collection.add(given[:documents])
    return collection


def killed(command: Sequence[str], server: Server, after: int) -> bool:
    """Run a command and kill it when it has made some requests; whether it was still running."""
    server.reset()
    with subprocess.Popen(
        [sys.executable, "-m", "retrievers", *command], stdout=subprocess.DEVNULL
    ) as process:
        while process.poll() is None and len(server.seen) < after:
            time.sleep(0.01)
        alive = process.poll() is None
        process.kill()
        process.wait()
    return alive


def finished(command: Sequence[str], server: Server) -> None:
    server.reset()
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "retrievers", *command], check=True, capture_output=True, text=True
    )
    sent = sum(size for _, _, size in server.seen) / 1e6
    seconds = time.perf_counter() - began
    print(f"{done.stdout.strip()}; {len(server.seen)} requests of {sent:.0f} MB, {seconds:.0f} s", flush=True)


def compare(one: Collection, other: Collection, questions: Sequence[str]) -> None:
    """Everything byte for byte, and equal answers."""
    assert other.ids() == one.ids()
    rows = 0
    for (document, encoded), (same, made) in zip(one.stream(), other.stream(), strict=True):
        assert same == document
        assert made.spans == encoded.spans
        for matrix, copied in zip(encoded.matrices, made.matrices, strict=True):
            assert copied.rows.tobytes() == matrix.rows.tobytes(), document.id
            assert copied.scales.tobytes() == matrix.scales.tobytes(), document.id
            rows += len(matrix)
    assert other.search_many(questions, k=10) == one.search_many(questions, k=10)
    print(
        f"{len(one)} documents, {rows} rows byte-equal; {len(questions)} questions with equal answers",
        flush=True,
    )


def ranked_alike(place: Path, server: Server, questions: Sequence[str]) -> None:
    """The exact mode of the server beside the exact scan of the directory; idf has no effect on a server."""
    encoder = LateInteractionEncoder("offline/minilm", query_weights=["length"])
    same = swapped = 0
    with Collection(place, encoder) as here, QdrantCollection(server.url, "moving", encoder) as there:
        for question in questions:
            mine, theirs = (one.search(question, k=10, exact=True) for one in (here, there))
            assert max(abs(a.score - b.score) for a, b in zip(mine, theirs, strict=True)) < TIE, question
            same += [hit.id for hit in mine] == [hit.id for hit in theirs]
            swapped += {hit.id for hit in mine} != {hit.id for hit in theirs}
    print(
        f"exact mode: {same} of {len(questions)} questions with the same ten in the same order, scores within {TIE}; "
        f"{swapped} with another tenth",
        flush=True,
    )


def main(data: Path, kills: int, documents: int | None, seed: int, index: Path | None) -> None:
    draw = random.Random(seed)
    with tempfile.TemporaryDirectory() as directory, Server() as server:
        server.bodies = deque(maxlen=1)  # all of them would be gigabytes
        place = Path(directory) / "index" if index is None else index
        with built(data, place, documents) as original:
            print(f"{len(original)} documents, {original.info().tokens} rows encoded", flush=True)
            back = Path(directory) / "back"
            push = ["push", str(place), "--to", server.url, "--name", "moving"]
            pull = ["pull", str(back), "--from", server.url, "--name", "moving"]

            def forget() -> None:
                QdrantClient(url=server.url).delete_collection("moving")

            # A page of documents takes some ten requests, or a hundred where its rows are many.
            for command, times, begin_again in (
                (push, kills, forget),
                (pull, max(1, kills // 3), lambda: shutil.rmtree(back)),
            ):
                died = 0
                while died < times:
                    if killed(command, server, draw.randint(5, 60)):
                        died += 1
                    else:
                        begin_again()  # it was faster: of what is complete no run is killed any more
                print(f"{command[0]}: killed {died} times", flush=True)
                finished(command, server)
            questions = [one["text"] for one in lines(data / "queries.jsonl.gz")][:QUESTIONS]
            ranked_alike(place, server, questions[:EXACT])
            with Collection(back, original.encoder) as copied:
                compare(original, copied, questions)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data/scifact"))
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--documents", type=int, help="the first so many; default: all")
    parser.add_argument("--index", type=Path, help="keep the encoded collection there, for the next run")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    if not given.data.is_dir():
        print(f"skipped: there is no data set in {given.data}")
        sys.exit(0)
    main(given.data, given.kills, given.documents, given.seed, given.index)
