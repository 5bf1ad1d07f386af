"""Token pooling: how many rows of a document are kept, by sentence-transformers' own module."""

from __future__ import annotations

from typing import TYPE_CHECKING

from retrievers.errors import InvalidInputError

if TYPE_CHECKING:
    from sentence_transformers.multi_vector_encoder.modules import BaseTokenPooling


def pooling(factor: float | None) -> BaseTokenPooling | None:
    """The module that keeps about one row in that many; None keeps all.

    Raises:
        InvalidInputError: the factor is less than 1.
    """
    if factor is None:
        return None
    from sentence_transformers.multi_vector_encoder.modules import HierarchicalTokenPooling

    if factor < 1:
        raise InvalidInputError(
            f"token_pooling is {factor}; it keeps one row in that many, so it is 1 or more."
        )
    return HierarchicalTokenPooling(factor)
