"""Questions: each is a text, which the model encodes, or the rows that a model made of one elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from retrievers.arguments import each, text
from retrievers.collection import computed, indexing
from retrievers.types import Encoder, TokenMatrix


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """A question that was checked.

    Attributes:
        text: empty where only the rows are known.
        rows: float32, (query_tokens, dim); None where the text is to be encoded.
    """

    text: str
    rows: TokenMatrix | None = None


def checked(value: Any, dim: int, name: str = "the query") -> Question:
    """A text, or a matrix of floats.

    Rows of any length are taken: a length is a weight of the row.

    Raises:
        InvalidTypeError: it is neither.
        ShapeError: the matrix is not (query_tokens, dim).
        InvalidInputError: a value is not finite, or the text is none that UTF-8 can hold.
    """
    if isinstance(value, str) or not (hasattr(value, "ndim") or isinstance(value, (list, tuple))):
        return Question(text(value, name))
    return Question("", computed.floats(value, dim, name, of_length_one=False))


def all_checked(values: Iterable[Any], dim: int) -> list[Question]:
    """Several of them; one bare text or matrix is a mistake, not a list of its parts."""
    given = list(each(values, "queries", "question"))
    if len(given) == 1:
        return [checked(given[0], dim)]
    return [checked(value, dim, f"the query at place {place}") for place, value in enumerate(given)]


def without_texts(asked: Sequence[Question]) -> list[Question]:
    """The questions with no text for a model: where nothing is stored, none has to be loaded."""
    return [one if one.rows is not None else Question("") for one in asked]


def encoded(encoder: Callable[[], Encoder], questions: Sequence[Question], dim: int) -> list[TokenMatrix]:
    """The rows of each question, float32, (query_tokens, dim); a blank text has none.

    Args:
        encoder: loads the model, which is not asked for where nothing has to be encoded.
    """
    texts = [one.text for one in questions if one.rows is None]
    wanted = any(one.strip() for one in texts)
    empty: list[TokenMatrix] = [np.zeros((0, dim), np.float32) for _ in texts]
    made = iter(indexing.encode_queries(encoder(), texts, dim) if wanted else empty)
    return [next(made) if one.rows is None else one.rows for one in questions]
