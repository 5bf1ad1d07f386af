"""A user's own questions: a line of JSON each, with the documents that answer it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from retrievers.errors import InvalidInputError
from retrievers.evaluate.benchmarks import records

FEW = 30  # questions: fewer tell only differences as large as a tenth


def read_questions(path: str | Path) -> tuple[dict[str, str], dict[str, dict[str, int]]]:
    """Read lines such as {"question": "Who wrote it?", "relevant": ["doc-3"]}.

    `relevant` lists ids, or maps them to gains, whole numbers. `id` names the question; without it its line does.

    Returns:
        Questions by id, and for each the gain of its documents.
    Raises:
        InvalidInputError: a line cannot be read, named with its number; an id stands twice; or there is none.
    """
    path = Path(path)
    asked: dict[str, str] = {}
    relevant: dict[str, dict[str, int]] = {}
    for number, record in records(path):
        question, gains = record.get("question"), record.get("relevant")
        if not isinstance(question, str) or not question.strip():
            raise InvalidInputError(
                f"{path}, line {number}: 'question' is {question!r}, a text is needed: "
                '{"question": "Who wrote it?", "relevant": ["doc-3"]}.'
            )
        if isinstance(gains, list):
            gains = {name: 1 for name in gains if isinstance(name, str)}
        if not isinstance(gains, Mapping) or not any(
            type(gain) is int and gain > 0 for gain in gains.values()
        ):
            raise InvalidInputError(
                f"{path}, line {number}: 'relevant' is {record.get('relevant')!r}, a list of ids is needed."
            )
        name = str(record.get("id", f"line {number}"))
        if name in asked:
            raise InvalidInputError(f"{path}, line {number}: the id {name!r} stands twice.")
        asked[name] = question
        relevant[name] = {str(key): gain for key, gain in gains.items() if type(gain) is int}
    if not asked:
        raise InvalidInputError(f"{path} has no questions: a line of JSON each is needed.")
    return asked, relevant
