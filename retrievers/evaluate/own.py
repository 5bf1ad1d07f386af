"""A collection measured by its user's own questions: settings side by side, BM25, and the single vector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retrievers.collection import Collection
from retrievers.encoder import LateInteractionEncoder
from retrievers.errors import InvalidInputError
from retrievers.evaluate.baselines import BM25, Baseline, SingleVector, single_vectors
from retrievers.evaluate.bootstrap import Interval, paired
from retrievers.evaluate.comparison import BASELINES, rank_documents, windows_of
from retrievers.evaluate.metrics import Qrels, ndcg
from retrievers.evaluate.questions import FEW
from retrievers.evaluate.settings import GRID, Setting, measure_settings, possible, stored_mean
from retrievers.evaluate.tuning import Proposal, tune


@dataclass(frozen=True, slots=True)
class Report:
    """What was measured.

    Attributes:
        rows: what was measured, its mean nDCG@10 in [0, 1], and its gain over the present setting with an interval of
            95 %; None for the present one.
        present: the setting in use.
        questions: how many were asked.
        proposal: of tuning; None where nobody asked for one.
    """

    rows: tuple[tuple[str, float, Interval | None], ...]
    present: Setting
    questions: int
    proposal: Proposal | None = None

    def markdown(self) -> str:
        """The table in Markdown, and the proposal below it."""
        lines = ["| System | nDCG@10 | gain, thousandths [95 %] |", "|---|--:|--:|"]
        lines += [
            f"| {name} | {mean:.3f} | {'in use' if gain is None else gain} |"
            for name, mean, gain in self.rows
        ]
        few = f" Fewer than {FEW} tell only large differences." if self.questions < FEW else ""
        lines += ["", f"{self.questions} questions.{few}"]
        return "\n".join([*lines, *([] if self.proposal is None else ["", str(self.proposal)])])


def evaluate_own(
    collection: Collection,
    queries: Mapping[str, str],
    qrels: Qrels,
    *,
    settings: Sequence[Setting] = GRID,
    baselines: Sequence[str] = BASELINES,
    language: str = "en",
    tuned: bool = False,
) -> Report:
    """Measure the settings that a collection's rows allow, on questions with known answers.

    Args:
        collection: its encoder is a LateInteractionEncoder.
        queries: query id to question.
        qrels: query id to document id to gain.
        settings: what to try, the simplest first; those that the rows do not allow are left out (see possible).
        baselines: any of BASELINES, or none. The single vector encodes every window again.
        language: of the documents, for BM25.
        tuned: whether a setting and a threshold are proposed.
    Raises:
        InvalidInputError: no document of qrels is stored, or the encoder is another.
        MissingExtraError: the extra `eval` is not installed.
    """
    named = sorted({name for gains in qrels.values() for name, gain in gains.items() if gain > 0})
    if not named or not collection.get(named):
        raise InvalidInputError(
            f"none of the {len(named)} relevant documents is in this collection, {named[:1]} for one: the questions "
            "belong to another."
        )
    allowed = possible(collection, settings)
    encoder = collection.encoder
    assert isinstance(encoder, LateInteractionEncoder)
    weights = encoder.query_weights
    if not collection.info().counts_tokens:
        weights = tuple(one for one in weights if one != "idf")
    present = Setting(stored_mean(collection), weights, collection.words_weight or 0.0)
    tried = list(dict.fromkeys([*allowed, present]))
    found = measure_settings(collection, queries, qrels, tried)
    before = found[present].values
    measured: list[tuple[str, NDArray[np.float64]]] = [(str(one), found[one].values) for one in tried]
    measured += _baselines(collection, encoder, queries, qrels, baselines, language)
    rows = tuple(
        (name, float(values.mean()), None if name == str(present) else paired(before, values))
        for name, values in measured
    )
    proposal = (
        tune(found, present, {query: qrels[query] for query in qrels if query in queries}) if tuned else None
    )
    return Report(rows, present, len(before), proposal)


def _baselines(
    collection: Collection,
    encoder: LateInteractionEncoder,
    queries: Mapping[str, str],
    qrels: Qrels,
    baselines: Sequence[str],
    language: str,
) -> list[tuple[str, NDArray[np.float64]]]:
    """BM25 and the single vector over the same windows: nDCG@10 of each question."""
    documents = collection.get()
    texts, owners = windows_of(documents, encoder)
    asked = [query for query in qrels if query in queries]
    systems: list[Baseline] = [BM25(texts, language=language)] if "BM25" in baselines else []
    if "single vector" in baselines:
        kind, embed = single_vectors(encoder)
        systems.append(SingleVector(texts, embed, kind))
    made = []
    for system in systems:
        ranked = rank_documents(system.scores([queries[query] for query in asked]), owners, documents)
        values = ndcg(qrels, dict(zip(asked, ranked, strict=True)))
        made.append((system.name, np.array([values[query] for query in asked])))
    return made
