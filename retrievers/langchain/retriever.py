"""A retriever over a collection, with its options per object, per configuration and per call."""

from __future__ import annotations

from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever, LangSmithRetrieverParams
from langchain_core.runnables.config import run_in_executor
from pydantic import Field

from retrievers.langchain.common import OpenCollection, trace_parameters
from retrievers.langchain.convert import from_hit
from retrievers.langchain.filters import translate


class LateInteractionRetriever(BaseRetriever):
    """The documents of a collection that match a question best, best first.

    `k`, `filter` and `score_threshold` may also be given to one call, `invoke(question, k=1)`, and made
    configurable: `retriever.configurable_fields(k=ConfigurableField(id="k"))`. Async calls run in a thread.

    Raises:
        InvalidInputError: on a call, k < 1 or a threshold outside [0, 1].
        FilterError: on a call, a filter that the language does not have.
    """

    collection: OpenCollection
    """The collection that is searched."""

    k: int = Field(default=4, ge=1)
    """How many documents to return at most."""

    filter: Any = None
    """A dictionary, a filter of retrievers.filters, or a callable that takes a Document."""

    score_threshold: float | None = Field(default=None, ge=0, le=1)
    """Least normalized score, in [0, 1], of a document that is returned."""

    score_key: str | None = None
    """Key under which the normalized score is written into the metadata of each document returned.

    None writes nothing: MultiQueryRetriever compares metadata to find duplicates, and a score differs from
    query to query.
    """

    # BaseRetriever hands over only the arguments that this signature names, and ainvoke hands over those
    # that the synchronous one names: the two must agree.
    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun | None = None,
        k: int | None = None,
        filter: Any = None,
        score_threshold: float | None = None,
    ) -> list[Document]:
        return self._search(query, k, filter, score_threshold)

    async def _aget_relevant_documents(
        self,
        query: str,
        *,
        run_manager: AsyncCallbackManagerForRetrieverRun | None = None,
        k: int | None = None,
        filter: Any = None,
        score_threshold: float | None = None,
    ) -> list[Document]:
        return await run_in_executor(None, self._search, query, k, filter, score_threshold)

    def _search(self, query: str, k: int | None, filter: Any, threshold: float | None) -> list[Document]:
        hits = self.collection.search(
            query,
            k=self.k if k is None else k,
            filter=translate(self.filter if filter is None else filter),
            score_threshold=self.score_threshold if threshold is None else threshold,
        )
        return [from_hit(hit, self.score_key) for hit in hits]

    def _get_ls_params(self, **kwargs: Any) -> LangSmithRetrieverParams:
        return {**super()._get_ls_params(**kwargs), **trace_parameters(self.collection)}
