"""Weights on the rows of a question: the length of the hidden state that each was, and how rare its token is.

A row is multiplied by its weight, so that MaxSim is the weighted sum and no kernel knows of weights; the length of a
row is its weight from then on. Weights have the mean 1, so that scores stay on the scale that they have without.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from retrievers.errors import InvalidInputError

if TYPE_CHECKING:
    import torch

    from retrievers.encoder.network import Network

WEIGHTS = ("length", "idf")
"""What may weigh a row: the encoder knows the length; a collection, which counts its tokens, knows the idf."""

LENGTHS = "token_lengths"  # of the hidden states, among a model's features


def weigh(model: Network, weights: object, own: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Let a model note the lengths of its hidden states, and say what a question's rows are weighted by.

    Args:
        model: that makes the rows.
        weights: names, as the user gave them; None takes the model's own.
        own: what the model is used with.
    Returns:
        The names, in the order of WEIGHTS.
    Raises:
        InvalidInputError: it is no list of them.
    """
    names = checked(own if weights is None else weights)
    from retrievers.encoder.bert import BertStack

    if isinstance(model, BertStack):  # its UnitRows note them
        return names
    from sentence_transformers.base.modules import Normalize

    for module in model:
        if isinstance(module, Normalize) and module.module_input_name == "token_embeddings":
            module.register_forward_pre_hook(_note)
    return names


def checked(weights: object) -> tuple[str, ...]:
    """Names of weights, in the order of WEIGHTS.

    Raises:
        InvalidInputError: it is no list of them.
    """
    listed = isinstance(weights, Iterable) and not isinstance(weights, str)
    names = list(weights) if listed else [None]  # type: ignore[call-overload]
    if not all(name in WEIGHTS for name in names):
        raise InvalidInputError(
            f"query_weights is {weights!r}; it is a list with 'length', 'idf' or both, or an empty one for rows that "
            "all count the same."
        )
    return tuple(name for name in WEIGHTS if name in names)


def lengths(output: dict[str, torch.Tensor]) -> torch.Tensor:
    """Lengths of the hidden states, (texts, tokens); of a model that normalises nothing, those of its rows."""
    found = output.get(LENGTHS)
    return output["token_embeddings"].float().norm(dim=-1) if found is None else found


def weighted(rows: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Rows, (tokens, dim), each multiplied by its share of the lengths, (tokens,), times their number."""
    return rows * (lengths / lengths.mean().clamp_min(1e-12))[:, None]


def _note(module: torch.nn.Module, arguments: tuple[Any, ...]) -> None:
    features = arguments[0]
    features.setdefault(LENGTHS, features["token_embeddings"].float().norm(dim=-1))
