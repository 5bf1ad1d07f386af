"""Evaluation: how well encoders and search modes find judged documents, beside BM25 and a single vector.

benchmark = load("scifact")                                     a BEIR directory
table = compare(benchmark.documents, benchmark.queries, benchmark.qrels, encoder)
print(table.markdown())                                         one row for each system
"""

from retrievers.evaluate.benchmarks import Benchmark, load
from retrievers.evaluate.comparison import BASELINES, compare, evaluate, main
from retrievers.evaluate.metrics import METRICS, Row, Table, measure
from retrievers.evaluate.own import Report, evaluate_own
from retrievers.evaluate.questions import read_questions
from retrievers.evaluate.settings import Setting

__all__ = [
    "BASELINES",
    "METRICS",
    "Benchmark",
    "Report",
    "Row",
    "Setting",
    "Table",
    "compare",
    "evaluate",
    "evaluate_own",
    "load",
    "main",
    "measure",
    "read_questions",
]
