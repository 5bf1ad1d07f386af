"""The number format that a model multiplies in: what was asked for, else what the hardware does fastest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from retrievers.errors import InvalidInputError

if TYPE_CHECKING:
    import torch

    from retrievers.encoder.network import Network

NAMES = ("float32", "bfloat16", "float16")


def choose(
    model: Network, precision: str | None, model_kwargs: Mapping[str, Any] | None, device: str
) -> torch.dtype:
    """The format to convert a model to.

    Args:
        model: as it was loaded.
        precision: one of NAMES; None leaves it to model_kwargs, then to the hardware.
        model_kwargs: a "dtype" there, as transformers takes it, was asked for too.
        device: as torch names it.
    Raises:
        InvalidInputError: precision is none of NAMES.
    """
    import torch

    if precision is not None:
        if precision not in NAMES:
            raise InvalidInputError(
                f"precision is {precision!r}; it must be one of {', '.join(NAMES)}, or None."
            )
        dtype: torch.dtype = getattr(torch, precision)
        return dtype
    asked = (model_kwargs or {}).get("dtype") or (model_kwargs or {}).get("torch_dtype")
    if asked not in (None, "auto") and model.dtype is not None:
        return model.dtype
    return torch.bfloat16 if multiplies_bfloat16(device) else torch.float32


def multiplies_bfloat16(device: str) -> bool:
    """Whether a device has bfloat16 products of its own; emulated, they are slower than float32's.

    On those that have, the rows retrieve as well and come several times as fast: benchmarks/encoding.py.
    """
    import torch

    kind = torch.device(device).type
    if kind == "cuda":
        native: bool = torch.cuda.is_bf16_supported(including_emulation=False)
        return native
    if kind == "cpu":
        from llvmlite import binding

        features = binding.get_host_cpu_features()
        return bool(features.get("avx512bf16") or features.get("amx-bf16"))
    return False
