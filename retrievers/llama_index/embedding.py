"""The embedding model of an index that needs none."""

from __future__ import annotations

from llama_index.core.base.embeddings.base import BaseEmbedding

from retrievers.errors import InvalidInputError


class NoEmbedding(BaseEmbedding):
    """Stands where VectorStoreIndex wants an embedding model, and says so if it is ever asked."""

    model_name: str = "none: late interaction"

    def _get_query_embedding(self, query: str) -> list[float]:
        raise InvalidInputError(
            "a LateInteractionIndex has no embedding model: a text is not one vector here."
        )

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_query_embedding(query)

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_query_embedding(text)
