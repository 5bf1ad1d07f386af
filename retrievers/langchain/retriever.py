"""The retrievers: one over a collection, and LangChain's own over the vector store, made strict."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from os import PathLike
from typing import Any, ClassVar

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever, LangSmithRetrieverParams
from langchain_core.runnables import RunnableConfig
from langchain_core.vectorstores.base import VectorStoreRetriever
from pydantic import Field

from retrievers.collection.arguments import opened, refuse
from retrievers.collection.asynchronous import asynchronous, given
from retrievers.langchain.convert import from_hits
from retrievers.langchain.filters import translate
from retrievers.langchain.options import OPTIONS, OpenCollection, Strict
from retrievers.types import Encoder, Hits, SearchableCollection

OF_A_CALL = ("k", "filter", "score_threshold", *OPTIONS)
OF_THE_FRAMEWORK = ("run_id", "verbose")
"""What BaseRetriever.invoke reads for itself."""

OF_A_SEARCH: Mapping[str, tuple[str, ...]] = {
    "similarity": (*OF_A_CALL, "evidence_key"),
    "similarity_score_threshold": (*OF_A_CALL, "evidence_key"),
    "mmr": (*OF_A_CALL, "evidence_key", "fetch_k", "lambda_mult"),
}
"""The search_kwargs of each search_type of LangChain's own retriever."""


class LateInteractionRetriever(Strict, BaseRetriever):
    """The documents of a collection that match a question best, best first.

    Its fields but the collection and `score_key` may also be given to one call, `invoke(question, k=1)`, and made
    configurable: `retriever.configurable_fields(k=ConfigurableField(id="k"))`. Async calls leave the event loop free.

    Args:
        collection: what is searched; or
        path: its directory, which is opened and never created.
        encoder: the model of the directory; None means the one that wrote it.
        options: the fields below.
    Raises:
        InvalidInputError: neither collection nor path came, or a collection beside path or encoder; on a call,
            k < 1 or a threshold outside [0, 1].
        UnknownOptionError: another keyword, here or on a call.
        StoreError: there is no collection at the path.
        FilterError: on a call, a filter that the language does not have.
    """

    advice: ClassVar[Mapping[str, str]] = {
        "search_kwargs": "give k=, filter= and score_threshold= themselves.",
        "vectorstore": "give collection=store.collection.",
    }

    collection: OpenCollection
    """The collection that is searched."""

    k: int = Field(default=4, ge=1)
    """How many documents to return at most."""

    filter: Any = None
    """A dictionary, a filter of retrievers.filters, or a callable that takes a Document."""

    score_threshold: float | None = Field(default=None, ge=0, le=1)
    """Least normalized score, in [0, 1], of a document that is returned."""

    words: float | None = Field(default=None, ge=0, le=1)
    """The share of BM25 in the score; None is the collection's own, and 0 searches without words."""

    pooled: float | None = Field(default=None, ge=0, le=1)
    """The share of the pooled similarity in the score, see Collection.search; None is 0."""

    passages: int | None = Field(default=None, ge=1)
    """How many windows of each document to give under the metadata key `passages`; None gives none."""

    group_by: str | None = None
    """A metadata key of which no more than group_size documents have the same value."""

    group_size: int = Field(default=1, ge=1)
    """The most documents of a group."""

    score_key: str | None = None
    """Key under which the normalized score is written into the metadata of each document returned.

    None writes nothing: MultiQueryRetriever compares metadata to find duplicates, and a score differs from
    query to query.
    """

    evidence_key: str | None = None
    """Key under which the evidence, see Evidence.as_json, is written into the metadata of each document returned.

    retrievers.citations reads it under "evidence". None writes nothing, for the same reason.
    """

    def __init__(
        self,
        *,
        collection: SearchableCollection | None = None,
        path: str | PathLike[str] | None = None,
        encoder: Encoder | None = None,
        **options: Any,
    ) -> None:
        known = {*type(self).model_fields, "path", "encoder"}
        refuse(options, known, type(self).__name__, self.advice)  # before a directory is opened
        super().__init__(collection=opened(collection, path, encoder), **options)

    def invoke(self, input: str, config: RunnableConfig | None = None, **kwargs: Any) -> list[Document]:
        """The documents for a question; kwargs are `k`, `filter`, `words` and so on of this call."""
        refuse(kwargs, (*OF_A_CALL, *OF_THE_FRAMEWORK), "invoke", _ADVICE_OF_A_CALL)
        return super().invoke(input, config, **kwargs)

    async def ainvoke(
        self, input: str, config: RunnableConfig | None = None, **kwargs: Any
    ) -> list[Document]:
        """invoke without blocking the event loop."""
        refuse(kwargs, (*OF_A_CALL, *OF_THE_FRAMEWORK), "ainvoke", _ADVICE_OF_A_CALL)
        return await super().ainvoke(input, config, **kwargs)

    # BaseRetriever hands over only the arguments that this signature names, and ainvoke hands over those
    # that the synchronous one names: the two must agree. It reads `verbose` itself, and hands it on.
    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun | None = None,
        k: int | None = None,
        filter: Any = None,
        score_threshold: float | None = None,
        words: float | None = None,
        pooled: float | None = None,
        passages: int | None = None,
        group_by: str | None = None,
        group_size: int | None = None,
        verbose: bool = False,
    ) -> list[Document]:
        options = self._options(k, filter, score_threshold, words, pooled, passages, group_by, group_size)
        hits = self.collection.search(query, **options)
        return self._documents(hits)

    async def _aget_relevant_documents(
        self,
        query: str,
        *,
        run_manager: AsyncCallbackManagerForRetrieverRun | None = None,
        k: int | None = None,
        filter: Any = None,
        score_threshold: float | None = None,
        words: float | None = None,
        pooled: float | None = None,
        passages: int | None = None,
        group_by: str | None = None,
        group_size: int | None = None,
        verbose: bool = False,
    ) -> list[Document]:
        options = self._options(k, filter, score_threshold, words, pooled, passages, group_by, group_size)
        hits = await asynchronous(self.collection).asearch(query, **options)
        return await asyncio.to_thread(self._documents, hits)

    def _documents(self, hits: Hits) -> list[Document]:
        keys = {"score_key": self.score_key, "evidence_key": self.evidence_key}
        return from_hits(self.collection, hits, **keys)

    def _options(
        self,
        k: int | None,
        filter: Any,
        threshold: float | None,
        words: float | None,
        pooled: float | None,
        passages: int | None,
        group_by: str | None,
        group_size: int | None,
    ) -> dict[str, Any]:
        """Those of Collection.search: of the call where it has them, else of this object."""
        return {
            "k": self.k if k is None else k,
            "filter": translate(self.filter if filter is None else filter),
            "score_threshold": self.score_threshold if threshold is None else threshold,
            **given(
                words=self.words if words is None else words,
                pooled=self.pooled if pooled is None else pooled,
                passages=self.passages if passages is None else passages,
                group_by=self.group_by if group_by is None else group_by,
                group_size=self.group_size if group_size is None else group_size,
            ),
        }

    def _get_ls_params(self, **kwargs: Any) -> LangSmithRetrieverParams:
        return {**super()._get_ls_params(**kwargs), **trace_parameters(self.collection)}


class StoreRetriever(Strict, VectorStoreRetriever):
    """VectorStoreRetriever, which refuses what no search would use, and names the model in its traces."""

    advice: ClassVar[Mapping[str, str]] = {
        name: f"give search_kwargs={{{name!r}: …}}." for name in OF_A_SEARCH["mmr"]
    }

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._refuse(self.search_kwargs, "search_kwargs")

    def invoke(self, input: str, config: RunnableConfig | None = None, **kwargs: Any) -> list[Document]:
        """The documents for a question; kwargs beat the search_kwargs of the same name."""
        self._refuse({**self.search_kwargs, **kwargs}, "invoke", OF_THE_FRAMEWORK)
        return super().invoke(input, config, **kwargs)

    async def ainvoke(
        self, input: str, config: RunnableConfig | None = None, **kwargs: Any
    ) -> list[Document]:
        """invoke without blocking the event loop."""
        self._refuse({**self.search_kwargs, **kwargs}, "ainvoke", OF_THE_FRAMEWORK)
        return await super().ainvoke(input, config, **kwargs)

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, verbose: bool = False, **kwargs: Any
    ) -> list[Document]:
        return super()._get_relevant_documents(query, run_manager=run_manager, **kwargs)

    async def _aget_relevant_documents(
        self,
        query: str,
        *,
        run_manager: AsyncCallbackManagerForRetrieverRun,
        verbose: bool = False,
        **kwargs: Any,
    ) -> list[Document]:
        return await super()._aget_relevant_documents(query, run_manager=run_manager, **kwargs)

    def _refuse(self, names: Iterable[str], where: str, besides: Iterable[str] = ()) -> None:
        known = {*OF_A_SEARCH[self.search_type], *besides}
        place = f"{where} of a retriever with search_type={self.search_type!r}"
        refuse(names, known, place, _ADVICE_OF_A_CALL)

    def _get_ls_params(self, **kwargs: Any) -> LangSmithRetrieverParams:
        parameters = super()._get_ls_params(**kwargs)
        return {**parameters, **trace_parameters(self.vectorstore.collection)}  # type: ignore[attr-defined]


_ADVICE_OF_A_CALL = {
    "search_kwargs": "give its k, filter and score_threshold themselves.",
    "fetch_k": "search_type='mmr' takes it.",
    "lambda_mult": "search_type='mmr' takes it.",
}


def trace_parameters(collection: SearchableCollection) -> LangSmithRetrieverParams:
    """What LangSmith shows beside a run: the kind of store, this library and the model's name."""
    return LangSmithRetrieverParams(
        ls_vector_store_provider=type(collection).__name__,
        ls_embedding_provider="maxsim-retrievers",
        ls_embedding_model=str(collection.fingerprint["model"]),
    )
