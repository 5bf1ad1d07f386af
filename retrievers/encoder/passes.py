"""One batch through a model: padded token numbers in, a matrix a text out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from retrievers.encoder import weighing
from retrievers.kernels.fork import let_torch_run
from retrievers.types import TokenMatrix

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder
    from sentence_transformers.multi_vector_encoder.modules import BaseTokenPooling


def forward(
    model: MultiVectorEncoder,
    batch: Mapping[str, Any],
    task: str,
    pooling: BaseTokenPooling | None = None,
    *,
    weighted: bool = False,
) -> list[TokenMatrix]:
    """Rows of each text, float32, (tokens, dim), of length 1 if they are not weighted.

    Args:
        model: is moved to its device.
        batch: int64, (texts, tokens), under each key.
        task: "query" or "document".
        pooling: merges rows of a text; None keeps all.
        weighted: whether each row is multiplied by the length of its hidden state.
    """
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


def same(alone: TokenMatrix, padded: TokenMatrix, dtype: str) -> bool:
    """Whether padding leaves the rows of a text what they are.

    A convolution that looks ahead and does not mask padding lets it into a text's last rows. Such a model
    encodes only texts of equal length together.
    """
    tolerance = 1e-3 if dtype == "float32" else 0.1
    return alone.shape == padded.shape and bool(np.abs(alone - padded).max(initial=0) <= tolerance)
