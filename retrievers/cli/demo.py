"""The demonstration: it indexes the Python language reference and answers questions, also through both frameworks."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from textwrap import indent, shorten
from typing import TYPE_CHECKING

from retrievers.cli.terminal import say
from retrievers.display import show
from retrievers.errors import MissingExtraError
from retrievers.types import Document

if TYPE_CHECKING:
    from retrievers.collection import Collection
    from retrievers.types import Encoder

MODEL = "offline/minilm"
QUESTIONS = (
    "Why does my default list argument keep growing between calls?",
    "How do I hide the original error when I raise a new one?",
    "How do I save memory when I have millions of small objects with fixed attributes?",
)
CHAIN_QUESTION = "Is the cleanup code run even if I return from inside the try block?"


def run(directory: Path, question: str | None, load: Callable[[], Encoder]) -> None:
    """Build the index if it is not there, then answer one question, or three and one through each framework.

    Args:
        directory: where the index stays.
        question: the user's own; None asks the three of this file.
        load: gives the model.
    Raises:
        MissingExtraError: the extra `offline`, which brings MODEL, is not installed.
        ModelMismatchError: the directory was indexed with another model.
    """
    from retrievers.collection import Collection

    begin = time.perf_counter()
    with Collection(directory, load()) as collection:
        build(collection)
        if question is not None:
            ask(collection, question)
        else:
            for example in QUESTIONS:
                ask(collection, example)
            through_langchain(collection, CHAIN_QUESTION)
            through_llama_index(collection, CHAIN_QUESTION)
            say(f'\nAsk a question of your own with `retrievers demo "…"`. The index stays in {directory}.')
    say(f"The demonstration took {time.perf_counter() - begin:.1f} s.")


def documents() -> list[Document]:
    """The topics of the language reference that come with every Python; help("for") shows one of them."""
    from pydoc_data.topics import topics

    texts = {name: text.strip() for name, text in topics.items()}
    return [Document(text, name, {"title": text.partition("\n")[0]}) for name, text in texts.items()]


def build(collection: Collection) -> None:
    """Index the topics that the collection lacks. A second call has nothing to do."""
    topics = documents()
    if all(topic.id in collection for topic in topics):
        say(f"{collection!r} is ready.")
        return
    characters = sum(len(topic.text) for topic in topics)
    say(f"Indexing {len(topics)} topics of the Python language reference, {characters:,} characters …")
    begin = time.perf_counter()
    collection.add(topics, show_progress=True)
    info = collection.info()
    seconds = time.perf_counter() - begin
    say(f"{info.windows:,} windows, {info.tokens:,} tokens, {info.bytes / 1e6:.1f} MB in {seconds:.1f} s")


def ask(collection: Collection, question: str) -> None:
    """Print the three best topics with their scores and passages."""
    begin = time.perf_counter()
    hits = collection.search(question, k=3)
    say(f"\n? {question}   ({(time.perf_counter() - begin) * 1000:.0f} ms)")
    say(show(hits))


def through_langchain(collection: Collection, question: str) -> None:
    """One question through a LangChain chain, whose language model is LangChain's own fake."""
    try:
        from retrievers.langchain import LateInteractionRetriever, PassageCompressor
    except MissingExtraError as error:
        say(f"\nThe question through LangChain is left out: {error}")
        return
    from langchain_core.documents import Document as ChainDocument
    from langchain_core.language_models import FakeListChatModel
    from langchain_core.output_parsers import StrOutputParser
    from langchain_core.prompts import ChatPromptTemplate
    from langchain_core.runnables import RunnableLambda, RunnablePassthrough

    passages = PassageCompressor(collection=collection)
    retriever = LateInteractionRetriever(collection=collection, k=2)

    def context(question: str) -> str:
        found: list[ChainDocument] = retriever.invoke(question)
        return "\n---\n".join(d.page_content for d in passages.compress_documents(found, question))

    prompt = ChatPromptTemplate.from_template("Answer from this:\n{context}\n\nQuestion: {question}")
    answer = "(A fake language model answers here. The text above is the prompt that a real one would get.)"
    inputs = {"context": RunnableLambda(context), "question": RunnablePassthrough()}
    written = inputs | prompt
    say(f"\nThrough a LangChain chain, prompt | model | parser:\n? {question}")
    say(indent(shorten(written.invoke(question).to_string(), 600, placeholder=" …"), "   "))
    say(indent((written | FakeListChatModel(responses=[answer]) | StrOutputParser()).invoke(question), "   "))


def through_llama_index(collection: Collection, question: str) -> None:
    """One question through a LlamaIndex query engine, whose language model is LlamaIndex's own mock."""
    try:
        from retrievers.llama_index import LateInteractionRetriever, PassagePostprocessor
    except MissingExtraError as error:
        say(f"\nThe question through LlamaIndex is left out: {error}")
        return
    from llama_index.core.llms import MockLLM
    from llama_index.core.query_engine import RetrieverQueryEngine

    engine = RetrieverQueryEngine.from_args(
        LateInteractionRetriever(collection=collection, similarity_top_k=2),
        llm=MockLLM(max_tokens=16),
        node_postprocessors=[PassagePostprocessor(collection=collection)],
    )
    response = engine.query(question)
    say(f"\nThrough a LlamaIndex query engine:\n? {question}")
    for source in response.source_nodes:
        text = shorten(source.node.get_content(), 300, placeholder=" …")
        say(f"   {source.node.node_id}   score {source.score:.3f}\n   {text}")
    say(f"   The mock model answers: {shorten(str(response), 120, placeholder=' …')}")
