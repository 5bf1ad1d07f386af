"""Whether and how much a model mixes the mean of a text's rows into each of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from retrievers.errors import InvalidInputError

if TYPE_CHECKING:
    from retrievers.encoder.network import Network


def mix(model: Network, weight: object, own: float = 0.0) -> float:
    """Let a model mix its rows; a weight of 0 leaves it as it is.

    Args:
        model: gets a module at its end.
        weight: as the user gave it; None takes the model's own.
        own: what the model is used with.
    Returns:
        The weight in effect.
    Raises:
        InvalidInputError: it is no number, or below 0.
    """
    if weight is None:
        weight = own
    if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 <= weight < math.inf:
        raise InvalidInputError(
            f"mean_weight is {weight!r}; it is a number of 0 or more: 0 leaves each row to itself, 0.25 adds "
            "a quarter of the mean of its window's rows."
        )
    if weight:
        from retrievers.encoder.bert import BertStack, MixedRows

        if isinstance(model, BertStack):
            model.append(MixedRows(float(weight)))
        else:
            from retrievers.encoder.mean_mixing import MeanMixing

            model.append(MeanMixing(float(weight)))
    return float(weight)
