"""Parts of a benchmark: fewer documents, or fewer questions."""

from __future__ import annotations

import random
from dataclasses import replace

from retrievers.evaluate import Benchmark


def first(benchmark: Benchmark, documents: int) -> Benchmark:
    """The first documents, and the questions that are answered by nothing else."""
    some = benchmark.documents[:documents]
    names = {str(one.id) for one in some}
    qrels = {query: gains for query, gains in benchmark.qrels.items() if names.issuperset(gains)}
    return Benchmark(some, {query: benchmark.queries[query] for query in qrels}, qrels)


def sample(benchmark: Benchmark, most: int) -> Benchmark:
    """At most so many queries, drawn with a seed; all documents stay."""
    if len(benchmark.queries) <= most:
        return benchmark
    chosen = random.Random(0).sample(sorted(benchmark.queries), most)
    queries = {query: benchmark.queries[query] for query in chosen}
    return replace(benchmark, queries=queries, qrels={query: benchmark.qrels[query] for query in chosen})
