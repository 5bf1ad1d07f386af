"""RAG with LangChain: an answer with quotes that are checked.

    python examples/langchain_rag.py
    python examples/langchain_rag.py ~/notes "What did we decide about the roof?"

Needs pip install "maxsim-retrievers[langchain,offline]". A fake chat model stands where yours goes.
"""

from __future__ import annotations

import sys
from pathlib import Path

from langchain_core.documents import Document
from langchain_core.language_models import FakeListChatModel
from langchain_core.prompts import ChatPromptTemplate

from retrievers import LateInteractionEncoder
from retrievers.citations import check, citations
from retrievers.langchain import LateInteractionRetriever, LateInteractionVectorStore, PassageCompressor

NOTES = {
    "roof": "The roof was mended in May. The firm guarantees it for ten years, so call them first if it leaks.",
    "stove": "The stove burns beech, two logs at a time. The sweep comes in October.",
    "bins": "Paper is collected on the first Monday, glass never: carry it to the corner.",
}


def load(folder: str | None) -> list[Document]:
    """The text files of a folder, or the notes above."""
    if folder is None:
        return [
            Document(id=name, page_content=text, metadata={"source": name}) for name, text in NOTES.items()
        ]
    files = sorted(file for kind in ("*.txt", "*.md") for file in Path(folder).expanduser().rglob(kind))
    return [
        Document(id=str(file), page_content=file.read_text(encoding="utf-8"), metadata={"source": file.name})
        for file in files
    ]


def main(
    folder: str | None = None, question: str = "Whom do I call if water comes through the ceiling?"
) -> None:
    """Index, retrieve, answer, and check what the answer quotes."""
    encoder = LateInteractionEncoder("offline/minilm")  # no name: LiquidAI/LFM2-ColBERT-350M
    store = LateInteractionVectorStore.from_documents(load(folder), path="notes-index", encoder=encoder)
    retriever = LateInteractionRetriever(collection=store.collection, k=3)
    passages = PassageCompressor(collection=store.collection)
    found = passages.compress_documents(retriever.invoke(question), question)
    cited = citations(found)

    prompt = ChatPromptTemplate.from_messages(
        [
            ("system", "Answer from the passages alone. Quote them and name their numbers, as [1]."),
            ("human", "{passages}\n\nQuestion: {question}"),
        ]
    )
    quote = found[0].page_content.split(". ")[-1]
    model = FakeListChatModel(responses=[f"The notes say: “{quote}” [1]"])  # yours
    answer = (prompt | model).invoke({"passages": cited.prompt(), "question": question}).text
    print(answer)
    for one in check(answer, cited):
        print("found in", one.places[0].citation.source if one.found else "no source")


if __name__ == "__main__":
    main(*sys.argv[1:])
