"""What a question costs that is restricted to a few nodes out of very many, beside one that is not.

    python -m benchmarks.restricted [--nodes 100000] [--chosen 10] [--rounds 30]

Nodes go through the LlamaIndex store, with the hashing encoder of retrievers.testing in place of a model, so that what
is measured is the look-up and the search. The questions are asked in turns, and medians are printed.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable

from llama_index.core.schema import TextNode

from retrievers import Collection
from retrievers.llama_index import LateInteractionRetriever, LateInteractionVectorStore
from retrievers.testing import HashingEncoder

QUESTION = "which word is the answer to number 7"


def milliseconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1e3


def measure(directory: str, nodes: int, chosen: int, rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each kind of question, one a round."""
    with Collection(directory, HashingEncoder(dim=128)) as collection:
        store = LateInteractionVectorStore(collection)
        texts = [f"word number {n} is {n % 1000} and answers {n % 77} questions" for n in range(nodes)]
        store.add([TextNode(id_=f"node-{n}", text=text) for n, text in enumerate(texts)])
        named = [f"node-{n}" for n in range(0, nodes, nodes // chosen)][:chosen]
        kinds = {
            "unrestricted": LateInteractionRetriever(collection=collection),
            f"node_ids of {chosen}": LateInteractionRetriever(collection=collection, node_ids=named),
        }
        times: dict[str, list[float]] = {kind: [] for kind in kinds}
        for kind, retriever in kinds.items():
            assert retriever.retrieve(QUESTION), kind
        for _ in range(rounds):
            for kind, retriever in kinds.items():
                times[kind].append(milliseconds(lambda one=retriever: one.retrieve(QUESTION)))  # type: ignore[misc]
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=int, default=100_000)
    parser.add_argument("--chosen", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=30)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        times = measure(directory, options.nodes, options.chosen, options.rounds)
    for kind, each in times.items():
        print(f"{kind} of {options.nodes:,} nodes: median {statistics.median(each):.2f} ms")


if __name__ == "__main__":
    main()
