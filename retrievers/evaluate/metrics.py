"""How good a ranking is by people's judgements, measured by ir-measures, and the table that shows it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from retrievers.errors import InvalidInputError, MissingExtraError

METRICS = ("nDCG@10", "MRR@10", "recall@100", "success@1", "success@5")
DEPTH = 100  # documents that a run needs a query: recall@100 looks deepest

Qrels = Mapping[str, Mapping[str, int]]
"""Query id to document id to gain; a document with a gain above 0 is relevant."""

Run = Mapping[str, Sequence[str]]
"""Query id to the ids of the documents found, best first."""


@dataclass(frozen=True, slots=True)
class Row:
    """How one system did.

    Attributes:
        system: what was measured.
        values: metric to its mean over the queries, in [0, 1].
    """

    system: str
    values: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Table:
    """Systems measured on the same documents, queries and judgements.

    Attributes:
        rows: one for each system.
        documents: how many documents were searched.
        queries: how many judged queries were asked.
        windows: how many windows the documents have for the first encoder.
    """

    rows: tuple[Row, ...] = field(default_factory=tuple)
    documents: int = 0
    queries: int = 0
    windows: int = 0

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __getitem__(self, system: str) -> Mapping[str, float]:
        """The values of a system by its name.

        Raises:
            InvalidInputError: no row has that name.
        """
        for row in self.rows:
            if row.system == system:
                return row.values
        raise InvalidInputError(
            f"no system {system!r} in this table: it has {[row.system for row in self.rows]}."
        )

    def markdown(self) -> str:
        """The table in Markdown; the line below it has the numbers of queries, documents and windows."""
        lines = ["| System | " + " | ".join(METRICS) + " |", "|---" + "|--:" * len(METRICS) + "|"]
        for row in self.rows:
            lines.append(
                f"| {row.system} | " + " | ".join(f"{row.values[name]:.3f}" for name in METRICS) + " |"
            )
        return "\n".join([*lines, "", self._sizes()])

    def _sizes(self) -> str:
        sizes = (
            f"{_count(self.queries, 'query', 'queries')}; {_count(self.documents, 'document', 'documents')}"
        )
        if self.windows != self.documents:
            sizes += f" in {_count(self.windows, 'window', 'windows')}"
        return f"{sizes}."

    def _repr_html_(self) -> str:
        """The table as a notebook draws it, the best of each column in bold."""
        from retrievers.display.html import figures

        rows = [(row.system, [row.values[name] for name in METRICS]) for row in self.rows]
        return figures(METRICS, rows, self._sizes())

    def __str__(self) -> str:
        return self.markdown()


def measure(qrels: Qrels, run: Run) -> dict[str, float]:
    """Mean of each metric over the judged queries.

    The order of a run decides, not scores, so that ties break as the search broke them. A judged query
    without an entry in the run found nothing and counts as 0; one without a relevant document is left out.

    Args:
        qrels: the judgements.
        run: what was found.
    Returns:
        Metric name to value in [0, 1], for each of METRICS.
    Raises:
        InvalidInputError: no query has a relevant document, or a ranking names a document twice.
        MissingExtraError: ir-measures is not installed.
    """
    measures = _measures()
    judged = {
        query: dict(gains) for query, gains in qrels.items() if any(gain > 0 for gain in gains.values())
    }
    if not judged:
        raise InvalidInputError("no query has a relevant document: nothing can be measured.")
    scores = {}
    for query, found in run.items():
        if len(set(found)) != len(found):
            raise InvalidInputError(f"the ranking of query {query!r} names a document twice.")
        # The tools that ir-measures calls sort by score and break ties by id: ranks leave them no tie to break.
        scores[query] = {document: -float(rank) for rank, document in enumerate(found)}
    sums = dict.fromkeys(METRICS, 0.0)
    names = {str(measure): name for name, measure in measures.items()}
    import ir_measures

    for value in ir_measures.iter_calc(list(measures.values()), judged, scores):
        if value.query_id in judged:
            sums[names[str(value.measure)]] += value.value
    return {name: total / len(judged) for name, total in sums.items()}


def ndcg(qrels: Qrels, run: Run) -> dict[str, float]:
    """nDCG@10 of each judged query; 0 for one that found nothing.

    Raises:
        MissingExtraError: ir-measures is not installed.
    """
    measure = _measures()["nDCG@10"]
    import ir_measures

    scores = {query: {name: -float(rank) for rank, name in enumerate(found)} for query, found in run.items()}
    values = dict.fromkeys(qrels, 0.0)
    judged = {query: dict(gains) for query, gains in qrels.items()}
    for value in ir_measures.iter_calc([measure], judged, scores):
        if value.query_id in values:
            values[value.query_id] = float(value.value)
    return values


def _count(number: int, one: str, several: str) -> str:
    return f"{number:,} {one if number == 1 else several}"


def _measures() -> dict[str, Any]:
    try:
        from ir_measures import RR, R, Success, nDCG
    except ImportError as error:
        raise MissingExtraError(
            'evaluation needs ir-measures, which is not installed: pip install "maxsim-retrievers[eval]"'
        ) from error
    return dict(zip(METRICS, (nDCG @ 10, RR @ 10, R @ 100, Success @ 1, Success @ 5), strict=True))
