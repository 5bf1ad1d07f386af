"""The two kinds of models that an encoder runs, and the parts of them that decide which tokens become rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

    from retrievers.encoder.bert import BertStack

    Network: TypeAlias = MultiVectorEncoder | BertStack


def masks(model: Network) -> list[Any]:
    """The modules that leave out tokens, in their order; a BertStack is asked without sentence-transformers."""
    from retrievers.encoder.bert import BertStack, RowMask

    if isinstance(model, BertStack):
        return [module for module in model if isinstance(module, RowMask)]
    from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

    return [module for module in model if isinstance(module, MultiVectorMask)]


def library_of(model: Network) -> MultiVectorEncoder:
    """The model as sentence-transformers has it, with the same weights."""
    from retrievers.encoder.bert import BertStack

    return model.library if isinstance(model, BertStack) else model
