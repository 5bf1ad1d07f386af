"""Evaluation: how well encoders and search modes find judged documents, beside BM25 and a single vector.

benchmark = load("scifact")                                     a BEIR directory
table = compare(benchmark.documents, benchmark.queries, benchmark.qrels, encoder)
print(table.markdown())                                         one row for each system
"""

from retrievers.evaluate.benchmarks import Benchmark, load
from retrievers.evaluate.comparison import compare, evaluate, main
from retrievers.evaluate.metrics import METRICS, Row, Table, measure

__all__ = ["METRICS", "Benchmark", "Row", "Table", "compare", "evaluate", "load", "main", "measure"]
