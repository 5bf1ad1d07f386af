"""One batch through a model: padded token numbers in, a matrix a text out."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from retrievers.encoder import weighing
from retrievers.encoder.batching import LENGTH_STEP, PADDING, batches
from retrievers.errors import DeviceMemoryError
from retrievers.kernels.fork import let_torch_run
from retrievers.types import TokenMatrix

if TYPE_CHECKING:
    from sentence_transformers.multi_vector_encoder.modules import BaseTokenPooling

    from retrievers.encoder.network import Network

PROBE = "Who wrote the first program, and when?"


def forward(
    model: Network,
    batch: Mapping[str, Any],
    task: str,
    pooling: BaseTokenPooling | None = None,
    weighted: bool = False,
) -> list[TokenMatrix]:
    """Rows of each text, float32, (tokens, dim), of length 1 if they are not weighted.

    Args:
        model: is moved to its device.
        batch: int64, (texts, tokens), under each key.
        task: "query" or "document".
        pooling: merges rows of a text; None keeps all.
        weighted: whether each row is multiplied by the length of its hidden state.
    Raises:
        DeviceMemoryError: the device has no room for the batch.
    """
    import torch

    try:
        return _rows(model, batch, task, pooling, weighted)
    except torch.OutOfMemoryError as error:
        texts, tokens = batch["input_ids"].shape
        raise DeviceMemoryError(
            f"{model.device} has no room for a batch of {texts} texts of {tokens} tokens: {str(error).splitlines()[0]} "
            "Free memory of the device, or give a smaller token_budget."
        ) from error


def _rows(
    model: Network,
    batch: Mapping[str, Any],
    task: str,
    pooling: BaseTokenPooling | None,
    weighted: bool,
) -> list[TokenMatrix]:
    import torch
    from torch.nn.functional import normalize

    let_torch_run()
    placed = {k: v.to(model.device) if isinstance(v, torch.Tensor) else v for k, v in batch.items()}
    with torch.inference_mode():
        output: dict[str, Any] = model(placed, task=task)
        # (texts, tokens, dim) and (texts, tokens): the mask leaves out padding, skiplist and the like
        vectors, masks = output["token_embeddings"], output["attention_mask"].bool()
        # Normalised again: in bfloat16 a row is of length 1 only to a part in a hundred.
        rows = [normalize(vector[mask].float(), dim=-1) for vector, mask in zip(vectors, masks, strict=True)]
        if weighted:
            found = zip(rows, weighing.lengths(output), masks, strict=True)
            rows = [weighing.weighted(row, length[mask]) for row, length, mask in found]
        if pooling is not None:
            rows = pooling.pool(rows, task=task)
        return [row.cpu().numpy() for row in rows]


def batched(
    lengths: Sequence[int],
    budget: int,
    pads: bool,
    run: Callable[[list[int], int], list[TokenMatrix]],
) -> list[TokenMatrix]:
    """Rows of each text, in as many batches as the budget asks for.

    Args:
        lengths: tokens of each text.
        budget: most tokens of a batch, padding included.
        pads: whether texts of different lengths may share a batch.
        run: encodes the texts at some places, padded to a length.
    """
    matrices: list[TokenMatrix] = [np.empty((0, 0), np.float32)] * len(lengths)
    for batch in batches(lengths, budget, padding=PADDING if pads else 0):
        for place, matrix in zip(batch, run(batch, lengths[batch[0]]), strict=True):
            matrices[place] = matrix
    return matrices


def multiplications(model: Network) -> float:
    """Multiplications and additions that a token takes on the processor, but for attention; infinity elsewhere."""
    import torch

    layers = [one for one in model.modules() if isinstance(one, torch.nn.Linear)]
    if not layers or model.device.type != "cpu":
        return math.inf
    return 2.0 * sum(one.weight.numel() for one in layers)


def probed(
    run: Callable[[int], list[TokenMatrix]], features: Sequence[Mapping[str, Any]], dtype: str
) -> tuple[int, bool]:
    """Dimensions of a row, and whether a text's rows are the same without padding: see same.

    Args:
        run: encodes the one text, padded to a length.
        features: of that text.
        dtype: the number format, as torch names it.
    """
    length = len(features[0]["input_ids"])
    alone, padded = run(length)[0], run(length + LENGTH_STEP)[0]
    return alone.shape[1], same(alone, padded, dtype)


def same(alone: TokenMatrix, padded: TokenMatrix, dtype: str) -> bool:
    """Whether padding leaves the rows of a text what they are.

    A convolution that looks ahead and does not mask padding lets it into a text's last rows. Such a model
    encodes only texts of equal length together.
    """
    tolerance = 1e-3 if dtype == "float32" else 0.1
    return alone.shape == padded.shape and bool(np.abs(alone - padded).max(initial=0) <= tolerance)
