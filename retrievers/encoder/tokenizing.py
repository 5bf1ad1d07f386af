"""Texts to the token ids that a model reads, one by one and without padding, safely from several threads."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from retrievers.encoder.labels import inside, kinds_of, with_marks
from retrievers.errors import InvalidInputError
from retrievers.kernels.fork import awaited
from retrievers.types import TokenKind
from retrievers.types.boundaries import Span

if TYPE_CHECKING:
    import torch
    from sentence_transformers import MultiVectorEncoder

Task = Literal["query", "document"]
Features = dict[str, "torch.Tensor"]
"""One text as the model reads it: int64, (tokens,), under input_ids, attention_mask and so on."""

CHUNK = 64  # texts that are tokenised at once where only their number of tokens is asked for


class Preprocessor:
    """The tokenizer of a sentence-transformers model, its prompts and its lengths.

    Args:
        model: its first module reads text.
        document_length: most tokens of a document, markers included; None takes the checkpoint's.
        query_length: tokens that a question is expanded to and cut at; None takes the checkpoint's width for
            expansion, and cuts a question only where a document would be.

    Attributes:
        document_length: as above, never None.
        query_length: width of query expansion, or, without it, the most tokens of a question.
        prompts: text put before each question and each document.
        readable: the most tokens that the model has positions for.
        strips: whether white space around a text is left out.

    Raises:
        InvalidInputError: a length is less than 1 token of text, or more than the model can read.
    """

    def __init__(
        self, model: MultiVectorEncoder, document_length: int | None, query_length: int | None
    ) -> None:
        self._model = model
        self._transformer: Any
        self._tokenizer: Any
        # Assigned through a name of any type: torch's modules declare their attributes as tensors.
        first: Any = model[0]
        self._transformer, self._tokenizer = first, first.tokenizer
        # A fast tokenizer changes its settings at each call; two threads at once are 'Already borrowed'.
        self._guard = awaited()
        self._said = threading.Event()  # that a question was cut: said once
        self.strips = True
        document_prompts = (model.prompts.get(name) for name in ("document", "passage", "corpus"))
        self.prompts: Mapping[Task, str] = {
            "query": model.prompts.get("query") or "",
            "document": next((prompt for prompt in document_prompts if prompt is not None), ""),
        }
        self.readable = readable = _readable(first)
        own = first.document_length or min(int(first.max_seq_length or 512), readable, 512)
        self.document_length: int = document_length or own
        _check_length("document_length", self.document_length, self.count([""])[0], readable)
        first.document_length = self.document_length
        self.query_length: int
        self._query_limit: int
        self._set_query_length(query_length, readable)

    def _set_query_length(self, query_length: int | None, readable: int) -> None:
        first, expansion = self._transformer, self._transformer.query_expansion
        if query_length is not None:
            _check_length("query_length", query_length, len(self._whole("", "query")), readable)
        if expansion is None:
            own = first.query_length or min(int(first.max_seq_length or 512), readable, 512)
            self.query_length = self._query_limit = first.query_length = query_length or own
        elif query_length is not None:
            self.query_length = self._query_limit = query_length
            first.query_length = None
            first.query_expansion = {**expansion, "strategy": "fixed", "length": query_length}
        else:
            # The same rows as "fixed" up to the width; what is longer is read on, as far as a document is.
            self.query_length = expansion["length"]
            self._query_limit = first.query_length = max(self.document_length, self.query_length)
            first.query_expansion = {**expansion, "strategy": "min"}

    def __call__(self, texts: Sequence[str], task: Task, *, offsets: bool = False) -> list[Features]:
        """Features of each text, markers, prompt and query expansion included.

        Documents are never cut here. With offsets, each has "offset_mapping", int64, (tokens, 2): characters
        in prompt + text.

        Warns:
            UserWarning: a question has more tokens than the model reads; the rest is not used. Said once.
        """
        import torch

        if not texts:
            return []
        text_options: dict[str, Any] = {"return_offsets_mapping": offsets}
        options: dict[str, Any] = {"text": text_options}
        if task == "document":
            text_options |= {"padding": False, "truncation": False, "verbose": False}
            options["common"] = {"return_tensors": None}
        with self._guard.lock:
            together = self._model.preprocess(
                [self.seen(text) for text in texts],
                prompt=self.prompts[task],
                task=task,
                processing_kwargs=options,
            )
        keys = [key for key in together if key not in ("modality", "prompt_length")]
        features = [{key: torch.as_tensor(together[key][i]) for key in keys} for i in range(len(texts))]
        if task == "query":
            for text, one in zip(texts, features, strict=True):
                self._warn_of_cut(text, int(one["attention_mask"].sum()))
                # Padding goes; the positions of query expansion stay.
                used = one["attention_mask"].bool()
                if "query_expansion_positions" in one:
                    used |= one["query_expansion_positions"].bool()
                one.update({key: one[key][used] for key in keys})
        return features

    def seen(self, text: str) -> str:
        """The part of a text that the model gets: all but the white space around it."""
        return text.strip() if self.strips else text

    def pad(self, features: Sequence[Features], length: int) -> dict[str, Any]:
        """A batch for the model: int64, (texts, length), under each key. No text is longer than that."""
        import torch
        from torch.nn.functional import pad

        fill = {"input_ids": self._tokenizer.pad_token_id or 0}
        # After the text, whatever the tokenizer's own side: positions stay, and causal convolutions never read it.
        missing = [length - len(one["input_ids"]) for one in features]
        batch: dict[str, Any] = {
            key: torch.stack(
                [
                    pad(one[key], (0, some), value=fill.get(key, 0))
                    for one, some in zip(features, missing, strict=True)
                ]
            )
            for key in features[0]
        }
        return {**batch, "modality": "text"}

    def scored(self, features: Features, task: Task) -> list[bool]:
        """Which tokens of a text become rows: the model's mask modules, without the model."""
        from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

        batch: dict[str, Any] = {key: value[None] for key, value in features.items()}
        for module in self._model:
            if isinstance(module, MultiVectorMask):
                batch = module(batch, task=task)
        kept: list[bool] = batch["attention_mask"][0].bool().tolist()
        return kept

    def ids(self, texts: Sequence[str], task: Task) -> list[list[int]]:
        """Numbers in the vocabulary of the tokens of each text that become rows."""
        made = []
        for first in range(0, len(texts), CHUNK):
            for one in self(texts[first : first + CHUNK], task):
                kept = zip(one["input_ids"].tolist(), self.scored(one, task), strict=True)
                made.append([token for token, scored in kept if scored])
        return made

    def skipped(self, task: Task) -> list[str]:
        """Words of the skiplist, those that get no row; and the ids that alone get one, where the model names them."""
        from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

        words: list[str] = []
        for module in self._model:
            if isinstance(module, MultiVectorMask):
                config: Any = module
                if task in (config.skiplist_tasks or ()):
                    words += list(config.skiplist_words or ())
                words += [f"only {one}" for one in getattr(config, "keep_only_token_ids", None) or ()]
        return words

    @property
    def expansion(self) -> dict[str, Any] | None:
        """How questions are expanded, as sentence-transformers says it; None where they are not."""
        expansion: Mapping[str, Any] | None = self._transformer.query_expansion
        return None if expansion is None else dict(expansion)

    def document_spans(self, text: str) -> list[Span]:
        """Character span of each row of a document; (0, 0) for a marker of the model."""
        features = self([text], "document", offsets=True)[0]
        before = len(self.prompts["document"])
        if self.strips:
            before -= len(text) - len(text.lstrip())
        spans = [
            inside(text, start - before, end - before) for start, end in features["offset_mapping"].tolist()
        ]
        rows = zip(with_marks(text, spans), self.scored(features, "document"), strict=True)
        return [span for span, kept in rows if kept]

    def query_rows(self, text: str) -> list[tuple[str, TokenKind]]:
        """What each row of a question stands for: the characters of the token, or its name; and its kind."""
        features, prompt = self([text], "query")[0], self.prompts["query"]
        ids, expansion = features["input_ids"].tolist(), features.get("query_expansion_positions")
        with self._guard.lock:
            read = self._tokenizer(
                prompt + self.seen(text), return_offsets_mapping=True, truncation=False, verbose=False
            )
            names = self._tokenizer.convert_ids_to_tokens(ids)
            labels = [self._tokenizer.decode([token]).strip() for token in ids]
        kinds = kinds_of(
            ids,
            [end for _, end in read["offset_mapping"]],
            before=len(prompt),
            special=set(self._tokenizer.all_special_ids),
            expansion=None if expansion is None else expansion.tolist(),
        )
        # A token may be a part of a character's bytes: then only its name in the vocabulary can be shown.
        shown = [
            label if label and "\ufffd" not in label else name
            for label, name in zip(labels, names, strict=True)
        ]
        kept = self.scored(features, "query")
        return [row for row, used in zip(zip(shown, kinds, strict=True), kept, strict=True) if used]

    def spans(self, text: str) -> list[Span]:
        """Character span of each token, without markers and prompt: for cutting windows."""
        with self._guard.lock:
            encoding = self._tokenizer(
                text, add_special_tokens=False, return_offsets_mapping=True, truncation=False, verbose=False
            )
        spans: list[Span] = encoding["offset_mapping"]
        return spans

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each document as the model reads it, prompt and markers included."""
        return [
            len(one["input_ids"])
            for start in range(0, len(texts), CHUNK)
            for one in self(texts[start : start + CHUNK], "document")
        ]

    def check_fit(self, texts: Sequence[str], lengths: Sequence[int]) -> None:
        """Refuse documents that would have to be cut.

        Raises:
            InvalidInputError: a text has more tokens than document_length.
        """
        for text, length in zip(texts, lengths, strict=True):
            if length > self.document_length:
                raise InvalidInputError(
                    f"A text of {length} tokens does not fit in a window of {self.document_length}: "
                    f"{text[:60]!r}… Cut it with split, and encode each window."
                )

    def _whole(self, text: str, task: Task) -> list[int]:
        with self._guard.lock:
            whole = self.prompts[task] + self.seen(text)
            encoding = self._tokenizer(whole, truncation=False, verbose=False)
        ids: list[int] = encoding["input_ids"]
        return ids

    def _warn_of_cut(self, text: str, read: int) -> None:
        if read < self._query_limit or self._said.is_set():
            return
        whole = len(self._whole(text, "query"))
        if whole > self._query_limit:
            self._said.set()
            more = (
                f"query_length= of LateInteractionEncoder may be up to {self.readable}"
                if self._query_limit < self.readable
                else "The model has no room for more"
            )
            warnings.warn(
                f"A question of {whole} tokens was cut to the {read} that the model reads: {text[:60]!r}… {more}. "
                "This is said once.",
                stacklevel=5,
            )


def _readable(transformer: Any) -> int:
    """The most tokens that a model has positions for.

    Not the tokenizer's limit: PyLate saves the one that it set last, a token less than document_length, or
    than query_length.
    """
    from torch import nn

    positions = getattr(transformer.model.config, "max_position_embeddings", None)
    if not isinstance(positions, int) or positions < 1:
        return int(transformer.max_seq_length or 512)
    # Backends that are not torch have no modules to look at.
    modules = transformer.model.modules() if isinstance(transformer.model, nn.Module) else ()
    for module in modules:
        table = getattr(module, "position_embeddings", None)
        # RoBERTa and its kin number positions from behind the padding's id.
        if isinstance(table, nn.Embedding) and table.padding_idx is not None:
            return positions - table.padding_idx - 1
    return positions


def _check_length(name: str, value: int, markers: int, readable: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not markers < value <= readable:
        raise InvalidInputError(
            f"{name} is {value!r}; it must be a whole number between {markers + 1} ({markers} markers of the model "
            f"and a token of text) and {readable}, the most tokens that the model can read."
        )
