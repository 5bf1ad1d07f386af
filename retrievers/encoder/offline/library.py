"""An offline model as sentence-transformers has it: to be saved, pooled, or run in several processes."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from retrievers.encoder.bert import Bert, BertStack, MixedRows, RowMask

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder
    from torch.nn import Module


def library(stack: BertStack) -> MultiVectorEncoder:
    """The parts of an offline model as modules of sentence-transformers, which share its weights."""
    from sentence_transformers import MultiVectorEncoder
    from sentence_transformers.base.modules import Normalize, Transformer

    bert = cast(Bert, stack[0])
    # MultiVectorEncoder(directory) would add a projection with random weights: the checkpoints have none.
    transformer = Transformer(
        str(bert.directory),
        document_length=bert.document_length,
        query_length=bert.query_length,
        model_kwargs=dict(bert.options),
    )
    transformer.model = bert.model
    transformer.unpad_inputs = False
    modules: list[Module] = [transformer]
    for part in stack:
        if isinstance(part, RowMask):
            modules += [_mask(part), Normalize("token_embeddings")]
        elif isinstance(part, MixedRows):
            from retrievers.encoder.mean_mixing import MeanMixing

            modules.append(MeanMixing(part.weight))
    made = MultiVectorEncoder(modules=modules, prompts=dict(stack.prompts), device=str(stack.device))
    return made.eval()


def _mask(mask: RowMask) -> Module:
    if mask.prompts:
        from retrievers.encoder.offline.content import ContentMask

        return ContentMask(mask.skiplist_words, prompts=mask.prompts)
    from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

    return MultiVectorMask(mask.skiplist_words, skiplist_tasks=list(mask.skiplist_tasks))
