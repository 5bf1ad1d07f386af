"""How long evidence of a hit takes, beside encoding the question: from stored rows, and by encoding the window again.

    python -m benchmarks.evidence [--rounds 15] [--tokens 512]

The offline model, one window of as many tokens as it takes or as many as are asked for. The two ways are timed in
turns, each time for a question that is encoded already.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

from retrievers import Collection, LateInteractionEncoder
from retrievers.collection import evidence
from retrievers.types import Document

QUESTION = "Who built the castle that guards the river, and when was it finished?"
SENTENCE = (
    "The king built a castle of stone over the river, and masons finished its walls within twelve years. "
)


def main() -> None:
    """Print the median and the largest time of each way."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--tokens", type=int, default=512)
    options = parser.parse_args()
    encoder = LateInteractionEncoder("offline/minilm", document_length=options.tokens)
    text = SENTENCE
    while len(encoder.split(text + SENTENCE)) == 1:
        text += SENTENCE
    with Collection(None, encoder) as collection:
        collection.add([text], ids=["a"])
        [hit] = collection.search(QUESTION, k=1)
        assert hit.passage is not None
        [matrix] = encoder.encode_queries([QUESTION])
        window = hit.passage
        span = (window.start, window.end)

        def again() -> object:
            return evidence.explain(encoder, QUESTION, matrix, Document(text), window, span)

        ways: dict[str, Callable[[], object]] = {
            "question encoded": lambda: encoder.encode_queries([QUESTION]),
            "from stored rows": lambda: collection._evidence(QUESTION, matrix, hit),
            "window encoded again": again,
            "highlights": collection.explain(QUESTION, hit).highlights,
            "snippet": collection.explain(QUESTION, hit).snippet,
        }
        times: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(options.rounds + 1):
            for name, way in ways.items():
                start = time.perf_counter()
                way()
                times[name].append((time.perf_counter() - start) * 1e3)
    print(f"{len(encoder.document_tokens(text))} rows in the window")
    for name, values in times.items():
        print(f"{name:22} median {statistics.median(values[1:]):7.2f} ms, largest {max(values[1:]):7.2f} ms")


if __name__ == "__main__":
    main()
