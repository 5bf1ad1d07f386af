"""A setting and a threshold from one's own questions, with what is noise said to be noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retrievers.evaluate.bootstrap import Interval, paired
from retrievers.evaluate.metrics import Qrels
from retrievers.evaluate.questions import FEW
from retrievers.evaluate.settings import Measured, Setting

FOLDS = 5
TOP = 10  # hits of a question among which a threshold is looked for


@dataclass(frozen=True, slots=True)
class Threshold:
    """A score_threshold, and what it does on the questions.

    Attributes:
        value: the normalised score.
        precision: of the hits that it keeps, the share that is relevant, 0 to 1.
        recall: of the relevant ones among the best ten hits, the share that it keeps.
    """

    value: float
    precision: float
    recall: float


@dataclass(frozen=True, slots=True)
class Proposal:
    """What tuning found.

    Attributes:
        setting: the proposed one; None where nothing is surely better than the present one.
        gain: of settings that were chosen without the questions on which they were measured, over the present one.
        best: the setting that is best on all questions, sure or not.
        threshold: for the setting that is used then; None where no relevant document is found.
        questions: how many there were.
    """

    setting: Setting | None
    gain: Interval
    best: Setting
    threshold: Threshold | None
    questions: int

    def __str__(self) -> str:
        lines = []
        if self.setting is None:
            lines.append(
                f"No other setting is proposed: chosen on some questions and measured on the others, the best gains "
                f"{self.gain} thousandths of nDCG@10, which is within noise."
            )
        else:
            lines.append(
                f"Proposed: {self.setting}. Chosen on some questions and measured on the others, it gains {self.gain} "
                "thousandths of nDCG@10."
            )
        if self.threshold is not None:
            one = self.threshold
            lines.append(
                f"score_threshold={one.value:.2f} keeps hits of which {one.precision:.0%} are relevant, and "
                f"{one.recall:.0%} of the relevant ones among the best {TOP}."
            )
        if self.questions < FEW:
            lines.append(
                f"{self.questions} questions tell little: only large differences can be seen with fewer than {FEW}. "
                "Add questions before you believe a figure."
            )
        return "\n".join(lines)


def tune(found: Mapping[Setting, Measured], present: Setting, qrels: Qrels, *, seed: int = 0) -> Proposal:
    """Choose a setting by cross-validation over questions, and a threshold for it.

    Args:
        found: what each setting found, the simplest first; one is the present one.
        present: the setting in use, which has to be beaten.
        qrels: query id to document id to gain, in the order of the questions.
        seed: of the folds.
    """
    settings = list(found)
    values = np.stack([found[one].values for one in settings])  # (settings, questions)
    count = values.shape[1]
    folds = np.random.default_rng(seed).permutation(count) % max(min(FOLDS, count), 1)
    chosen = np.empty(count, np.float64)
    for fold in range(int(folds.max(initial=0)) + 1):
        outside, inside = folds != fold, folds == fold
        row = int(np.argmax(values[:, outside].mean(axis=1))) if outside.any() else settings.index(present)
        chosen[inside] = values[row, inside]
    gain = paired(found[present].values, chosen, seed=seed)
    best = settings[int(np.argmax(values.mean(axis=1)))]
    proposed = best if gain.low > 0 and best != present else None
    return Proposal(proposed, gain, best, threshold_of(found[proposed or present].ranked, qrels), count)


def threshold_of(ranked: Sequence[Sequence[tuple[str, float]]], qrels: Qrels) -> Threshold | None:
    """The threshold with the best F1 over the ten best hits of every question; the lowest of equal ones."""
    scores, right = [], []
    for one, gains in zip(ranked, qrels.values(), strict=True):
        for name, score in one[:TOP]:
            scores.append(score)
            right.append(gains.get(name, 0) > 0)
    relevant: NDArray[np.bool_] = np.array(right, np.bool_)
    if not relevant.any():
        return None
    order = np.argsort(-np.array(scores), kind="stable")
    sorted_scores, hits = np.array(scores)[order], np.cumsum(relevant[order])
    precision, recall = hits / np.arange(1, len(hits) + 1), hits / hits[-1]
    last = np.append(np.diff(sorted_scores) != 0, True)  # equal scores are kept or left out together
    f1 = np.where(last, 2 * precision * recall / np.maximum(precision + recall, 1e-12), -1)
    best = len(f1) - 1 - int(np.argmax(f1[::-1]))
    value = float(np.floor(sorted_scores[best] * 100) / 100)
    kept = int(np.searchsorted(-sorted_scores, -value, side="right"))
    return Threshold(value, float(precision[kept - 1]), float(recall[kept - 1]))
