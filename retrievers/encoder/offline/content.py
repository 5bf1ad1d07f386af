"""The mask of rows as sentence-transformers saves and loads it, for an offline model that is saved as a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

from retrievers.encoder.bert import beginnings, without_beginnings


class ContentMask(MultiVectorMask):
    """A mask that also leaves out the prompt, by its place: its words may stand in the text as well.

    Args:
        skiplist_words: pieces that get no row, in queries and documents.
        prompts: texts that stand in front of every query or document.
    """

    config_keys: list[str] = ["skiplist_words", "prompts"]  # noqa: RUF012  # as the base class has it

    def __init__(self, skiplist_words: list[str], *, prompts: Mapping[str, str]) -> None:
        super().__init__(skiplist_words, skiplist_tasks=["query", "document"])
        self.prompts = dict(prompts)
        self.beginnings: list[torch.Tensor] = []

    def resolve_with_tokenizer(self, tokenizer: Any) -> None:
        """Look up the ids that the prompts begin a text with."""
        super().resolve_with_tokenizer(tokenizer)
        self.beginnings = beginnings(tokenizer, self.prompts)

    def forward(  # type: ignore[override]  # the base class's own signature
        self, features: dict[str, torch.Tensor], task: str | None = None
    ) -> dict[str, torch.Tensor]:
        """Clear the mask, (batch, tokens), at skipped pieces and at the prompt in front."""
        features = super().forward(features, task)
        ids, mask = features["input_ids"], features["attention_mask"].bool()
        features["attention_mask"] = without_beginnings(ids, mask, self.beginnings)
        return features
