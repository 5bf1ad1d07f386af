"""LangChain: a vector store, a retriever and rerankers over a collection; they translate, nothing more."""

from __future__ import annotations

from retrievers.errors import MissingExtraError

_COMMAND = 'pip install "maxsim-retrievers[langchain]"'

try:
    from langchain_core.version import VERSION as _VERSION
except ImportError as error:
    raise MissingExtraError(f"retrievers.langchain needs langchain-core 1.0 or later: {_COMMAND}") from error

if int(_VERSION.split(".")[0]) < 1:
    raise MissingExtraError(
        f"retrievers.langchain needs langchain-core 1.0 or later; {_VERSION} is installed: {_COMMAND}"
    )

# The check came first: without langchain-core these imports fail with no word about the extra.
# ruff: noqa: E402
from retrievers.langchain.cross_encoder import LateInteractionCrossEncoder
from retrievers.langchain.filters import LateInteractionTranslator
from retrievers.langchain.passages import PassageCompressor
from retrievers.langchain.reranker import LateInteractionReranker
from retrievers.langchain.retriever import LateInteractionRetriever
from retrievers.langchain.vectorstore import LateInteractionVectorStore

__all__ = [
    "LateInteractionCrossEncoder",
    "LateInteractionReranker",
    "LateInteractionRetriever",
    "LateInteractionTranslator",
    "LateInteractionVectorStore",
    "PassageCompressor",
]
