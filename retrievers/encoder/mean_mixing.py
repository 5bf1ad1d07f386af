"""The whole in every row: each row of a text is moved towards the mean of all of them."""

from __future__ import annotations

from typing import Any

import torch
from sentence_transformers.base.modules.module import Module
from torch import Tensor
from torch.nn.functional import normalize


class MeanMixing(Module):
    """The last module of a model: t' = normalise(t + weight · m), m the normalised mean of the text's kept rows.

    Rows are mixed before token pooling merges them, and each process of a pool does it by itself.

    Args:
        weight: λ, 0 or more.
    """

    config_keys: list[str] = ["weight"]  # noqa: RUF012  # as the base class has it

    def __init__(self, weight: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.weight = weight

    def forward(self, features: dict[str, Tensor | Any], **kwargs: Any) -> dict[str, Tensor | Any]:
        """Mix the rows, (texts, tokens, dim), of which the mask, (texts, tokens), says which are kept."""
        rows = normalize(features["token_embeddings"].float(), dim=-1)
        kept = features["attention_mask"].to(rows.dtype)
        mean = normalize(torch.einsum("bt,btd->bd", kept, rows), dim=-1)
        features["token_embeddings"] = normalize(rows + self.weight * mean[:, None], dim=-1)
        return features

    def save(
        self, output_path: str, *args: object, safe_serialization: bool = True, **kwargs: object
    ) -> None:
        """Write the configuration: there are no weights to learn."""
        self.save_config(output_path)
