"""Lfm2's short convolutions read query expansion, as they did when the published models were trained.

PyLate pads a question to its length, gives the padding attention mask 0, and scores its rows all the same. transformers
4.54 to 4.57 never applied that mask to the short convolutions; 5.0 to 5.12 set the masked states to 0 before each of
them in batches of more than one text; 5.16 and later always. That LFM2-ColBERT-350M was trained unmasked is an
inference: transformers' pull request 41790 (October 2025) says that the mask was not being applied before, and the
discussion of its sibling LFM2.5-ColBERT-350M says that this one was trained on that path.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

CONVOLUTIONS = ("Lfm2ShortConv", "Lfm2MoeShortConv")


def unmask_convolutions(model: torch.nn.Module) -> int:
    """Let no short convolution of an Lfm2 be given a mask, in any version of transformers.

    Right where padding follows the text, as ours does: the convolution is causal, so that no real token reads padding.

    Returns:
        How many convolutions there were.
    """
    found = [module for module in model.modules() if type(module).__name__ in CONVOLUTIONS]
    for module in found:
        module.register_forward_pre_hook(_without_mask, with_kwargs=True)
    return len(found)


def _without_mask(
    module: torch.nn.Module, arguments: tuple[Any, ...], options: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return arguments, {**options, "attention_mask": None}
