"""The frameworks' own ensembles of late interaction and BM25: what a program has that adds nothing of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from retrievers.evaluate.metrics import DEPTH

Ranked = list[list[tuple[str, float]]]
"""A list a question: ids of documents and their scores, best first."""


def langchain_ensemble(
    texts: Sequence[str], owners: Sequence[str], asked: Sequence[str], ours: Ranked
) -> Ranked:
    """EnsembleRetriever, both weights ½, of our ranking and LangChain's BM25Retriever over the same windows.

    Args:
        texts: of the windows.
        owners: the id of each window's document.
        asked: the questions.
        ours: what late interaction found for each.
    """
    from langchain_classic.retrievers import EnsembleRetriever
    from langchain_community.retrievers import BM25Retriever
    from langchain_core.documents import Document
    from langchain_core.retrievers import BaseRetriever

    class Known(BaseRetriever):
        found: dict[str, list[str]]

        def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
            return [Document(page_content=name) for name in self.found[query]]

    class Documents(BaseRetriever):
        """Windows to documents: each stands where its best window does."""

        windows: BM25Retriever

        def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
            names = dict.fromkeys(one.metadata["document"] for one in self.windows.invoke(query))
            return [Document(page_content=name) for name in names]

    words = BM25Retriever.from_texts(texts, metadatas=[{"document": name} for name in owners], k=DEPTH)
    known = {query: [name for name, _ in one] for query, one in zip(asked, ours, strict=True)}
    both = EnsembleRetriever(retrievers=[Known(found=known), Documents(windows=words)], weights=[0.5, 0.5])
    return [[(one.page_content, 0.0) for one in both.invoke(query)[:DEPTH]] for query in asked]


def llama_index_fusion(
    texts: Sequence[str], owners: Sequence[str], asked: Sequence[str], ours: Ranked, mode: str
) -> Ranked:
    """QueryFusionRetriever of our ranking and LlamaIndex's BM25Retriever over the same windows.

    Args:
        texts, owners, asked, ours: as for langchain_ensemble.
        mode: of QueryFusionRetriever: "reciprocal_rerank" or "relative_score".
    """
    from llama_index.core.llms import MockLLM
    from llama_index.core.retrievers import BaseRetriever, QueryFusionRetriever
    from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
    from llama_index.retrievers.bm25 import BM25Retriever

    def node(name: str, score: float) -> NodeWithScore:
        return NodeWithScore(node=TextNode(id_=name, text=name), score=score)

    class Known(BaseRetriever):
        def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
            return [node(name, score) for name, score in known[query_bundle.query_str]]

    class Documents(BaseRetriever):
        """Windows to documents: each has the score of its best window."""

        def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
            best: dict[str, float] = {}
            for one in words.retrieve(query_bundle):
                best.setdefault(one.node.metadata["document"], one.score or 0.0)
            return [node(name, score) for name, score in best.items()]

    known = dict(zip(asked, ours, strict=True))
    nodes = [
        TextNode(id_=str(place), text=text, metadata={"document": name})
        for place, (text, name) in enumerate(zip(texts, owners, strict=True))
    ]
    words = BM25Retriever.from_defaults(nodes=nodes, similarity_top_k=min(DEPTH, len(nodes)))
    fused = QueryFusionRetriever(
        [Known(), Documents()],
        llm=MockLLM(),
        num_queries=1,
        mode=mode,  # type: ignore[arg-type]
        use_async=False,
        similarity_top_k=DEPTH,
    )
    return [[(one.node.node_id, one.score or 0.0) for one in fused.retrieve(query)] for query in asked]
