"""The model as late interaction uses it: every token's vector, but none for prompt, markers and punctuation."""

from __future__ import annotations

import string
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from sentence_transformers.base.modules import Normalize, Transformer
from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

from retrievers.encoder.offline.build import SPACE

# What the model was trained to see in front of a text.
PROMPTS = {"query": "query: ", "document": "passage: "}
LENGTH = 256  # tokens of a window
MARKERS = ("<s>", "</s>")


def modules(directory: Path) -> list[torch.nn.Module]:
    """The modules of a MultiVectorEncoder, from the checkpoint's directory."""
    transformer = Transformer(
        str(directory),
        document_length=LENGTH,
        query_length=LENGTH,
        model_kwargs={"add_pooling_layer": False},  # the checkpoint has none: it would be random
    )
    skipped = [piece for piece in transformer.tokenizer.get_vocab() if is_punctuation(piece)]
    mask = ContentMask([*MARKERS, *skipped], prompts=PROMPTS)
    return [transformer, mask, Normalize("token_embeddings")]


def is_punctuation(piece: str) -> bool:
    """Whether a piece of the vocabulary has nothing but punctuation and the mark for a space."""
    signs = piece.replace(SPACE, "")
    return all(sign in string.punctuation or unicodedata.category(sign).startswith("P") for sign in signs)


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
        self.beginnings = []
        for prompt in self.prompts.values():
            ids = tokenizer(prompt.rstrip())["input_ids"][:-1]  # the last one is the end marker
            self.beginnings.append(torch.tensor(ids))

    def forward(  # type: ignore[override]  # the base class's own signature
        self, features: dict[str, torch.Tensor], task: str | None = None
    ) -> dict[str, torch.Tensor]:
        """Clear the mask, (batch, tokens), at skipped pieces and at the prompt in front."""
        features = super().forward(features, task)
        ids, mask = features["input_ids"], features["attention_mask"].bool()
        for beginning in self.beginnings:
            size = len(beginning)
            if ids.shape[1] >= size:
                begins = (ids[:, :size] == beginning.to(ids.device)).all(dim=1)  # (batch,)
                mask[:, :size] &= ~begins[:, None]
        features["attention_mask"] = mask
        return features
