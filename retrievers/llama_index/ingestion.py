"""The last step of an IngestionPipeline that writes into a LateInteractionVectorStore."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llama_index.core.schema import BaseNode, TransformComponent

from retrievers.collection.arguments import refuse


class LateInteractionTransform(TransformComponent):
    """Marks nodes as ready for the store, which encodes them itself.

    IngestionPipeline hands its vector store only those nodes whose embedding is not None and drops the
    others without a word. A late-interaction store needs no embedding, so this gives each node an empty one.
    """

    def __init__(self, **fields: Any) -> None:
        refuse(fields, type(self).model_fields, type(self).__name__)
        super().__init__(**fields)

    @classmethod
    def class_name(cls) -> str:
        return "LateInteractionTransform"

    def __call__(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[BaseNode]:
        """Copies of the nodes with an empty embedding; an embedding that is there stays."""
        return [
            node if node.embedding is not None else node.model_copy(update={"embedding": []})
            for node in nodes
        ]
