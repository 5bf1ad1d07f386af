"""Rerank what any other search found, in LangChain, LlamaIndex and neither; nothing is stored.

    python examples/rerank_anything.py

Needs pip install "maxsim-retrievers[langchain,llama-index,offline]".
"""

from __future__ import annotations

import sys

from langchain_core.documents import Document
from llama_index.core.schema import NodeWithScore, TextNode

from retrievers import Collection, LateInteractionEncoder
from retrievers.langchain import LateInteractionReranker
from retrievers.llama_index import LateInteractionRerank

FOUND = [  # by keywords, say
    "Take one suitcase. The airline charges more for a second suitcase.",
    "Luggage that a carrier loses is replaced up to 1,500 euros.",
    "Keep the laptop with you.",
]


def main(question: str = "What do I get if the airline loses my suitcase?") -> None:
    """The same three texts, reranked three times."""
    encoder = LateInteractionEncoder("offline/minilm")
    for document in LateInteractionReranker(encoder=encoder, top_n=2).compress_documents(
        [Document(text) for text in FOUND], question
    ):
        print(f"LangChain   {document.metadata['relevance_score']:.3f}  {document.page_content}")

    nodes = [NodeWithScore(node=TextNode(text=text)) for text in FOUND]
    for node in LateInteractionRerank(encoder=encoder, top_n=2).postprocess_nodes(nodes, query_str=question):
        print(f"LlamaIndex  {node.score:.3f}  {node.text}")

    for hit in Collection(None, encoder).rerank(question, FOUND, top_n=2):
        print(f"neither     {hit.normalized_score:.3f}  {hit.text}")


if __name__ == "__main__":
    main(*sys.argv[1:])
