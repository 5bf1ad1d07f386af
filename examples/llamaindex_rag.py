"""RAG with LlamaIndex over a folder: a query engine, its sources, and what changed.

    python examples/llamaindex_rag.py
    python examples/llamaindex_rag.py ~/notes "What did we decide about the roof?"

Needs pip install "maxsim-retrievers[llama-index,offline]". A mock language model stands where yours goes.
"""

from __future__ import annotations

import sys

from llama_index.core import Document, SimpleDirectoryReader
from llama_index.core.llms import MockLLM

from retrievers import LateInteractionEncoder
from retrievers.llama_index import LateInteractionIndex, LateInteractionRerank, PassagePostprocessor

NOTES = {
    "roof": "The roof was mended in May. The firm guarantees it for ten years, so call them first if it leaks.",
    "stove": "The stove burns beech, two logs at a time. The sweep comes in October.",
    "bins": "Paper is collected on the first Monday, glass never: carry it to the corner.",
}


def load(folder: str | None) -> list[Document]:
    """What LlamaIndex reads in a folder, or the notes above; each with an id that stays."""
    if folder is None:
        return [Document(id_=name, text=text) for name, text in NOTES.items()]
    return SimpleDirectoryReader(folder, recursive=True, filename_as_id=True).load_data()


def main(
    folder: str | None = None, question: str = "Whom do I call if water comes through the ceiling?"
) -> None:
    """Index what is new or changed, and answer."""
    encoder = LateInteractionEncoder("offline/minilm")  # no name: LiquidAI/LFM2-ColBERT-350M
    index = LateInteractionIndex.from_documents(load(folder), path="nodes-index", encoder=encoder)
    engine = index.as_query_engine(
        llm=MockLLM(max_tokens=64),  # yours
        similarity_top_k=10,
        node_postprocessors=[
            LateInteractionRerank(index.collection, top_n=3),
            PassagePostprocessor(index.collection),
        ],
    )
    response = engine.query(question)
    print(response)
    for source in response.source_nodes:
        print(f"{source.score:.3f}  {source.node.ref_doc_id}  {source.text[:80]!r}")


if __name__ == "__main__":
    main(*sys.argv[1:])
