"""BERT and what makes rows of its hidden states, run by torch, transformers and tokenizers alone.

To import sentence-transformers takes seconds of processor time, and a model from a package needs nothing of it: these
modules compute what its own do. They take and give the features that its modules pass on: a batch by the names of the
tokenizer, then `token_embeddings`, (texts, tokens, dim), and the mask of the rows that are kept, `attention_mask`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import torch
from torch.nn.functional import normalize

if TYPE_CHECKING:
    from pathlib import Path

    from sentence_transformers import MultiVectorEncoder

Features = dict[str, Any]
READ = ("input_ids", "attention_mask", "token_type_ids")  # of the features, what BERT is given
LENGTH = 256  # most tokens of a window or of a question, markers included


class BertStack(torch.nn.Sequential):
    """The parts of a late-interaction model, of which the first is a Bert; in place of a MultiVectorEncoder.

    Args:
        parts: applied one after the other.
        prompts: text before each "query" and each "document".
        library: makes sentence-transformers' model with the weights of this one.
    """

    def __init__(
        self,
        parts: Sequence[torch.nn.Module],
        prompts: Mapping[str, str],
        library: Callable[[BertStack], MultiVectorEncoder],
    ) -> None:
        super().__init__(*parts)
        self.prompts = dict(prompts)
        self._to_library = library

    @property
    def tokenizer(self) -> Any:
        """Of transformers."""
        bert: Any = self[0]
        return bert.tokenizer

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """The number format of the weights."""
        return next(self.parameters()).dtype

    @property
    def library(self) -> MultiVectorEncoder:
        """sentence-transformers' model of the same parts and weights, made when it is first asked for."""
        made = vars(self).get("_library")
        if made is None:
            # Straight into the instance: as an attribute it would become one of the modules.
            made = vars(self).setdefault("_library", self._to_library(self))
        return cast("MultiVectorEncoder", made)

    def preprocess(self, texts: Sequence[str], **options: Any) -> Features:
        """The features of texts, see Bert.preprocess."""
        bert = cast(Bert, self[0])
        return bert.preprocess(texts, **options)

    def forward(self, features: Features, task: str | None = None) -> Features:
        """The features with the rows of each text; `task` is "query" or "document"."""
        for part in self:
            features = part(features, task=task)
        return features


class Bert(torch.nn.Module):
    """transformers' BertModel with its tokenizer.

    Args:
        directory: of the checkpoint.
        options: for BertModel.
    """

    # What sentence-transformers' Transformer has beside a model and a tokenizer.
    query_expansion = None

    def __init__(self, directory: Path, **options: Any) -> None:
        super().__init__()
        from transformers import AutoTokenizer, BertModel

        self.directory, self.options = directory, options
        self.model = BertModel.from_pretrained(directory, **options)
        self.tokenizer: Any = AutoTokenizer.from_pretrained(directory)
        positions = self.model.config.max_position_embeddings
        self.tokenizer.model_max_length = min(self.tokenizer.model_max_length, positions)
        self.document_length = self.query_length = LENGTH

    @property
    def max_seq_length(self) -> int:
        """The most tokens that the tokenizer lets through."""
        length: int = self.tokenizer.model_max_length
        return length

    def preprocess(
        self,
        texts: Sequence[str],
        *,
        prompt: str,
        task: str,
        processing_kwargs: Mapping[str, Mapping[str, Any]],
    ) -> Features:
        """The features of texts: what the tokenizer makes of them, each after the prompt."""
        length = self.query_length if task == "query" else self.document_length
        options: dict[str, Any] = {"padding": True, "truncation": "longest_first", "max_length": length}
        options |= {
            "return_tensors": "pt",
            **processing_kwargs["text"],
            **processing_kwargs.get("common", {}),
        }
        features: Features = self.tokenizer([prompt + text for text in texts], **options)
        return features

    def forward(self, features: Features, task: str | None = None) -> Features:
        """The features with the hidden states of the last layer."""
        given = {name: features[name] for name in READ if name in features}
        features["token_embeddings"] = self.model(**given).last_hidden_state
        return features


class RowMask(torch.nn.Module):
    """The mask without some pieces of the vocabulary, and without the prompt in front of a text.

    Args:
        tokenizer: of transformers.
        words: pieces that get no row, in queries and documents.
        prompts: whose tokens get no row either.
    """

    skiplist_tasks = ("query", "document")

    def __init__(
        self, tokenizer: Any, words: Sequence[str], prompts: Mapping[str, str] | None = None
    ) -> None:
        super().__init__()
        self.skiplist_words = list(words)
        ids = tokenizer.convert_tokens_to_ids(self.skiplist_words)
        known = zip(ids, self.skiplist_words, strict=True)
        unknown = tokenizer.unk_token_id
        self.skipped = torch.tensor(
            [one for one, word in known if one != unknown or word == tokenizer.unk_token]
        )
        self.prompts = dict(prompts or {})
        self.beginnings = beginnings(tokenizer, self.prompts)

    def forward(self, features: Features, task: str | None = None) -> Features:
        """The features with the mask of the rows that are kept, bool, (texts, tokens)."""
        ids, mask = features["input_ids"], features["attention_mask"].bool()
        mask = mask & ~torch.isin(ids, self.skipped.to(ids.device))
        features["attention_mask"] = without_beginnings(ids, mask, self.beginnings)
        return features


class UnitRows(torch.nn.Module):
    """Rows of length 1; the lengths that they had stay among the features.

    Args:
        noted: the name that the lengths, (texts, tokens), get.
    """

    def __init__(self, noted: str) -> None:
        super().__init__()
        self.noted = noted

    def forward(self, features: Features, task: str | None = None) -> Features:
        """The features with normalised rows."""
        states = features["token_embeddings"]
        features[self.noted] = states.float().norm(dim=-1)
        features["token_embeddings"] = normalize(states, p=2, dim=-1)
        return features


class MixedRows(torch.nn.Module):
    """Rows that are moved towards the mean of all of them, see `mixed`.

    Args:
        weight: λ, 0 or more.
    """

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, features: Features, task: str | None = None) -> Features:
        """The features with mixed rows."""
        rows, kept = features["token_embeddings"], features["attention_mask"]
        features["token_embeddings"] = mixed(rows, kept, self.weight)
        return features


def mixed(rows: torch.Tensor, kept: torch.Tensor, weight: float) -> torch.Tensor:
    """t' = normalise(t + weight · m), m the normalised mean of the kept rows of the text.

    Args:
        rows: (texts, tokens, dim).
        kept: the mask, (texts, tokens).
        weight: λ, 0 or more.
    """
    rows = normalize(rows.float(), dim=-1)
    mean = normalize(torch.einsum("bt,btd->bd", kept.to(rows.dtype), rows), dim=-1)
    return normalize(rows + weight * mean[:, None], dim=-1)


def beginnings(tokenizer: Any, prompts: Mapping[str, str]) -> list[torch.Tensor]:
    """The ids that each prompt begins a text with."""
    # The last one is the end marker.
    return [torch.tensor(tokenizer(prompt.rstrip())["input_ids"][:-1]) for prompt in prompts.values()]


def without_beginnings(
    ids: torch.Tensor, mask: torch.Tensor, beginnings: Sequence[torch.Tensor]
) -> torch.Tensor:
    """A mask, bool, (texts, tokens), without the beginning of a text, by its place.

    Its words may stand in the text as well, and have rows there.
    """
    for beginning in beginnings:
        size = len(beginning)
        if ids.shape[1] >= size:
            begins = (ids[:, :size] == beginning.to(ids.device)).all(dim=1)  # (texts,)
            mask[:, :size] &= ~begins[:, None]
    return mask
