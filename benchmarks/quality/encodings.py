"""What an offline model makes of a benchmark, encoded once and kept: every setting is measured on the same rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from retrievers import LateInteractionEncoder
from retrievers.encoder.batching import LENGTH_STEP, batches
from retrievers.evaluate import Benchmark

TEXTS = 1024  # encoded between two writes: what an interruption can cost


@dataclass(frozen=True)
class Encoded:
    """Rows of texts, as the model alone makes them: nothing is mixed, weighted or rounded to 8 bits.

    Attributes:
        rows: float16, (tokens, dim), of length 1.
        tokens: int32, (tokens,): the number of each row's token.
        lengths: float32, (tokens,): length of the hidden state that each row was.
        ends: int64, (texts,): row behind the last one of each text.
        singles: float32, (texts, dim), of length 1: the mean of all hidden states of the same pass, which is the
            single vector that the model was trained for.
    """

    rows: NDArray[np.float16]
    tokens: NDArray[np.int32]
    lengths: NDArray[np.float32]
    ends: NDArray[np.int64]
    singles: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.ends)

    @property
    def starts(self) -> NDArray[np.int64]:
        """int64, (texts,): first row of each text."""
        return np.concatenate([[0], self.ends[:-1]]).astype(np.int64)


def windows(
    benchmark: Benchmark, encoder: LateInteractionEncoder, kept: Path
) -> tuple[list[list[tuple[int, int]]], list[str], NDArray[np.int64]]:
    """The spans of each document's windows, the windows' texts, and the place of each one's document.

    What is kept may be of more documents, of which these are the first.
    """
    path = kept / "windows.json"
    if not path.is_file():
        kept.mkdir(parents=True, exist_ok=True)
        spans = [encoder.split(document.text) for document in benchmark.documents]
        unfinished = path.with_suffix(".part")
        unfinished.write_text(json.dumps(spans))
        unfinished.rename(path)
    kept_spans = json.loads(path.read_text())[: len(benchmark.documents)]
    read = [[(start, end) for start, end in some] for some in kept_spans]
    pairs = zip(benchmark.documents, read, strict=True)
    texts = [document.text[start:end] for document, some in pairs for start, end in some]
    owners = np.repeat(np.arange(len(read), dtype=np.int64), [len(some) for some in read])
    return read, texts, owners


def encode(
    texts: Sequence[str], task: Literal["query", "document"], encoder: LateInteractionEncoder, kept: Path
) -> Encoded:
    """Encode texts, or read what an earlier call kept of them: a file for each TEXTS, so that it goes on where it was.

    Args:
        texts: none of them blank.
        task: "query" or "document".
        encoder: an offline model.
        kept: a directory that belongs to this model and to these texts, or to more, of which these are the first.
    """
    kept.mkdir(parents=True, exist_ok=True)
    parts = []
    for first in range(0, len(texts), TEXTS):
        path = kept / f"{task}-{first:07d}.npz"
        if not path.is_file():
            unfinished = path.with_suffix(".part")
            with unfinished.open("wb") as file:
                np.savez(file, **_encoded(texts[first : first + TEXTS], task, encoder))
            unfinished.rename(path)
            print(f"{path.parent.name}: {path.stem} of {len(texts)}", flush=True)
        with np.load(path, allow_pickle=False) as found:
            parts.append(_first({name: found[name] for name in found.files}, len(texts) - first))
    counts = np.concatenate([part["counts"] for part in parts])
    joined = {
        name: np.concatenate([part[name] for part in parts])
        for name in ("rows", "tokens", "lengths", "singles")
    }
    return Encoded(ends=np.cumsum(counts, dtype=np.int64), **joined)


def _first(part: dict[str, NDArray[Any]], texts: int) -> dict[str, NDArray[Any]]:
    """The first so many texts of a file."""
    rows = int(part["counts"][:texts].sum())
    return {name: found[: texts if name in ("counts", "singles") else rows] for name, found in part.items()}


def _encoded(
    texts: Sequence[str], task: Literal["query", "document"], encoder: LateInteractionEncoder
) -> dict[str, NDArray[Any]]:
    import torch
    from torch.nn.functional import normalize

    transformer, mask, *_ = encoder.model
    features = encoder._preprocess(list(texts), task)
    lengths = [-(-len(one["input_ids"]) // LENGTH_STEP) * LENGTH_STEP for one in features]
    found: list[Any] = [None] * len(texts)
    for batch in batches(lengths, encoder.token_budget):
        padded = encoder._preprocess.pad([features[i] for i in batch], lengths[batch[0]])
        with torch.inference_mode():
            output: dict[str, Any] = transformer(dict(padded))
            states, present = output["token_embeddings"].float(), output["attention_mask"].bool()
            kept = mask(output, task=task)["attention_mask"].bool()
            for place, i in enumerate(batch):
                state, chosen = states[place], kept[place]
                found[i] = (
                    normalize(state[chosen], dim=-1).numpy().astype(np.float16),
                    padded["input_ids"][place][chosen].numpy().astype(np.int32),
                    state[chosen].norm(dim=-1).numpy(),
                    normalize(state[present[place]].mean(dim=0), dim=-1).numpy(),
                )
    rows, tokens, norms, singles = zip(*found, strict=True)
    return {
        "rows": np.concatenate(rows),
        "tokens": np.concatenate(tokens),
        "lengths": np.concatenate(norms),
        "singles": np.stack(singles),
        "counts": np.array([len(one) for one in rows], np.int64),
    }
