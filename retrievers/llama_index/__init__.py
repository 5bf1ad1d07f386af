"""LlamaIndex: a vector store, an index, a retriever and postprocessors over a collection; they translate."""

from __future__ import annotations

from retrievers.errors import MissingExtraError

_COMMAND = 'pip install "maxsim-retrievers[llama-index]"'

try:
    from llama_index.core import __version__ as _VERSION
except ImportError as error:
    raise MissingExtraError(
        f"retrievers.llama_index needs llama-index-core 0.14 or later: {_COMMAND}"
    ) from error

if tuple(int(part) for part in _VERSION.split(".")[:2]) < (0, 14):
    raise MissingExtraError(
        f"retrievers.llama_index needs llama-index-core 0.14 or later; {_VERSION} is installed: {_COMMAND}"
    )

# The check came first: without llama-index-core these imports fail with no word about the extra.
# ruff: noqa: E402
from retrievers.llama_index.citations import citable_blocks, citation_blocks
from retrievers.llama_index.index import LateInteractionIndex
from retrievers.llama_index.ingestion import LateInteractionTransform
from retrievers.llama_index.passages import PassagePostprocessor
from retrievers.llama_index.rerank import LateInteractionRerank
from retrievers.llama_index.retriever import LateInteractionRetriever
from retrievers.llama_index.vector_store import LateInteractionVectorStore

__all__ = [
    "LateInteractionIndex",
    "LateInteractionRerank",
    "LateInteractionRetriever",
    "LateInteractionTransform",
    "LateInteractionVectorStore",
    "PassagePostprocessor",
    "citable_blocks",
    "citation_blocks",
]
