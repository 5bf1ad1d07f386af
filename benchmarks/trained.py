"""How well a trained model retrieves on NanoBEIR, beside what its makers published: for whoever reaches a model hub.

    python -m benchmarks.trained LiquidAI/LFM2-ColBERT-350M --published 0.66

NanoBEIR is thirteen small English sets of 50 questions and some thousand documents each. They are fetched from the hub
as sentence-transformers keeps them, and the nDCG@10 of each and their mean are printed. What a model's makers publish
is on its card: it is given on the command line, for it is nobody's to keep here.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from retrievers import Collection, Document, LateInteractionEncoder
from retrievers.evaluate import Benchmark, measure

DATASET = "sentence-transformers/NanoBEIR-en"
SETS = (
    "NanoClimateFEVER",
    "NanoDBPedia",
    "NanoFEVER",
    "NanoFiQA2018",
    "NanoHotpotQA",
    "NanoMSMARCO",
    "NanoNFCorpus",
    "NanoNQ",
    "NanoQuoraRetrieval",
    "NanoSCIDOCS",
    "NanoArguAna",
    "NanoSciFact",
    "NanoTouche2020",
)
METRIC = "nDCG@10"


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser().parse_args(arguments)
    encoder = LateInteractionEncoder(
        options.model,
        revision=options.revision,
        device=options.device,
        trust_remote_code=options.trust_remote_code,
    )
    print(f"{options.model} at {encoder.fingerprint['origin']['commit']}, {encoder.dtype}", flush=True)
    figures = {}
    for name in options.sets:
        figures[name] = evaluated(nano(options.dataset, name), encoder)
        print(f"{name:20s} {figures[name]:.4f}", flush=True)
    mean = sum(figures.values()) / len(figures)
    beside = "" if options.published is None else f", published {options.published:.4f}"
    print(f"{'mean':20s} {mean:.4f}{beside}")


def nano(dataset: str, name: str) -> Benchmark:
    """One set of NanoBEIR, fetched from the hub if it is not in the cache."""
    from huggingface_hub import snapshot_download

    patterns = [f"{part}/{name}-*.parquet" for part in ("corpus", "queries", "qrels")]
    directory = Path(snapshot_download(dataset, repo_type="dataset", allow_patterns=patterns))
    corpus, queries, judged = (rows(directory, pattern) for pattern in patterns)
    qrels: dict[str, dict[str, int]] = {}
    for one in judged:
        qrels.setdefault(str(one["query-id"]), {})[str(one["corpus-id"])] = int(one.get("score", 1))
    documents = tuple(Document(str(one["text"]), id=str(one["_id"])) for one in corpus if one["text"].strip())
    return Benchmark(documents, {str(one["_id"]): str(one["text"]) for one in queries}, qrels)


def rows(directory: Path, pattern: str) -> list[dict[str, Any]]:
    """The rows of the parquet files that a pattern names."""
    from pyarrow import parquet

    files = sorted(directory.glob(pattern))
    if not files:
        raise SystemExit(f"the dataset has no {pattern}")
    return [row for file in files for row in parquet.read_table(file).to_pylist()]


def evaluated(benchmark: Benchmark, encoder: LateInteractionEncoder) -> float:
    """nDCG@10 of exact search, in [0, 1]."""
    with Collection(None, encoder) as collection:
        collection.add(benchmark.documents)
        asked = [query for query in benchmark.qrels if query in benchmark.queries]
        found = collection.search_many([benchmark.queries[query] for query in asked], k=100)
    run = {query: [str(hit.id) for hit in hits] for query, hits in zip(asked, found, strict=True)}
    return measure(benchmark.qrels, run)[METRIC]


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("model", nargs="?", default="LiquidAI/LFM2-ColBERT-350M")
    made.add_argument("--revision", help="branch, tag or commit")
    made.add_argument("--device", help="as torch names it")
    made.add_argument("--published", type=float, help="the mean nDCG@10 on the model's card, between 0 and 1")
    made.add_argument("--sets", nargs="+", choices=SETS, default=SETS)
    made.add_argument("--dataset", default=DATASET)
    made.add_argument("--trust-remote-code", action="store_true", help="run code that comes with the model")
    return made


if __name__ == "__main__":
    main()
