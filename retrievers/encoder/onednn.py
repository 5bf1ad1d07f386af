"""Linear layers whose weights are laid out once for oneDNN's kernels, for models that run on a processor.

torch multiplies float32 matrices by MKL, and lays a bfloat16 weight out anew for each product. Laid out once,
both are faster, most of all the one question of a search: benchmarks/encoding.py. The two operators are those
that torch.compile calls for a linear layer. torch does not document them, so they are tried before they are used.
"""

from __future__ import annotations

import platform
from typing import Any

import torch

# On Arm torch's own product is another, and this one has not been measured.
MACHINES = ("x86_64", "AMD64")


class PackedLinear(torch.nn.Linear):
    """torch's linear layer, with a second copy of its weight in the order in which oneDNN reads it.

    The copy is made by the first product and whenever the weight has changed. It is neither saved nor sent to
    another process. Products that need gradients or run elsewhere than on the processor are torch's own, and so
    are those of a weight that was made in inference mode, for torch does not tell when such a one changes.
    """

    # The version of the weight and its copy: one tuple, so that threads see both or neither.
    _packed: tuple[int, torch.Tensor] | None = None

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        weight = self.weight
        if torch.is_grad_enabled() or weight.is_inference():
            return super().forward(input)
        if input.device.type != "cpu" or input.dtype != weight.dtype:
            return super().forward(input)
        packed, version = self._packed, weight._version
        if packed is None or packed[0] != version:
            packed = version, torch.ops.mkldnn._reorder_linear_weight(weight.detach(), None)
            self._packed = packed
        product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(
            input, packed[1], self.bias, "none", [], ""
        )
        return product

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_packed": None}

    def _apply(self, *args: Any, **kwargs: Any) -> PackedLinear:
        """What `.to` and its like go through: the weight becomes another without a new version."""
        self._packed = None
        super()._apply(*args, **kwargs)  # type: ignore[no-untyped-call]
        return self


def pack(model: torch.nn.Module) -> None:
    """Make a PackedLinear of each linear layer of a model on the processor, where that works.

    The weights, their names and the layers themselves stay what they are.
    """
    layers = [layer for layer in model.modules() if type(layer) is torch.nn.Linear]
    formats = {layer.weight.dtype for layer in layers}
    if platform.machine() in MACHINES and all(_works(dtype) for dtype in formats):
        for layer in layers:
            layer.__class__ = PackedLinear


def _works(dtype: torch.dtype) -> bool:
    """Whether this torch and this processor have the operators, and they multiply."""
    with torch.inference_mode(False), torch.no_grad():
        # skip_init: torch's random numbers are the user's.
        layer = torch.nn.utils.skip_init(PackedLinear, 64, 64, bias=False, dtype=dtype)
        layer.weight.copy_(torch.linspace(-1, 1, 64 * 64).reshape(64, 64))
        batch = torch.linspace(-1, 1, 8 * 64, dtype=dtype).reshape(8, 64)
        try:
            ours, theirs = layer(batch), torch.nn.functional.linear(batch, layer.weight)
        except (AttributeError, RuntimeError, TypeError):
            return False
    return torch.allclose(ours, theirs, rtol=1e-2, atol=1e-2)
