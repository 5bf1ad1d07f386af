"""The whole in every row: each row of a text is moved towards the mean of all of them."""

from __future__ import annotations

from typing import Any

from sentence_transformers.base.modules.module import Module
from torch import Tensor

from retrievers.encoder.bert import mixed


class MeanMixing(Module):
    """The last module of sentence-transformers' model, which mixes rows: see retrievers.encoder.bert.mixed.

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
        rows, kept = features["token_embeddings"], features["attention_mask"]
        features["token_embeddings"] = mixed(rows, kept, self.weight)
        return features

    def save(
        self, output_path: str, *args: object, safe_serialization: bool = True, **kwargs: object
    ) -> None:
        """Write the configuration: there are no weights to learn."""
        self.save_config(output_path)
