"""The offline model on real text, through LangChain: what a hashing encoder cannot show."""

from __future__ import annotations

import asyncio

import pytest
from langchain_core.documents import Document

from retrievers import Collection
from retrievers.langchain import LateInteractionReranker, LateInteractionRetriever, LateInteractionVectorStore
from tests.loops import Watch

TOPICS = ["break", "del", "lambda", "while", "global", "assert", "return", "pass", "in", "with", "yield"]
QUESTIONS = {
    "How do I leave a loop early?": "break",
    "How do I write a small anonymous function?": "lambda",
    "How do I check a condition while debugging?": "assert",
    "Which statement runs a block inside a context manager?": "with",
    "What is a statement that does nothing?": "pass",
}
OFF_TOPIC = "What is the best recipe for a chocolate cake with cherries?"


@pytest.fixture(scope="module")
def reference(minilm, tmp_path_factory) -> LateInteractionVectorStore:
    """Short topics of the Python language reference, on disk."""
    from pydoc_data.topics import topics

    documents = [
        Document(id=name, page_content=topics[name].strip(), metadata={"length": len(topics[name])})
        for name in TOPICS
    ]
    path = tmp_path_factory.mktemp("reference") / "index"
    return LateInteractionVectorStore.from_documents(documents, path=path, encoder=minilm)


@pytest.mark.parametrize(("question", "topic"), QUESTIONS.items())
def test_a_question_finds_its_topic(reference, question, topic):
    assert reference.similarity_search(question, k=1)[0].id == topic


def test_a_threshold_tells_a_question_about_python_from_one_about_cake(reference):
    retriever = reference.as_retriever(
        search_type="similarity_score_threshold", search_kwargs={"k": 3, "score_threshold": 0.33}
    )
    assert all(retriever.invoke(question) for question in QUESTIONS)
    assert retriever.invoke(OFF_TOPIC) == []


def test_scores_of_a_real_model_are_in_0_to_1(reference):
    for question in [*QUESTIONS, OFF_TOPIC, "?", "x", "日本語"]:
        for _, relevance in reference.similarity_search_with_relevance_scores(question, k=20):
            assert 0 <= relevance <= 1


def test_reranking_by_the_store_and_by_the_model_agree(reference, minilm):
    documents = reference.get_by_ids(["while", "break", "pass"])
    question = "How do I leave a loop early?"
    stored = LateInteractionReranker(collection=reference.collection).compress_documents(documents, question)
    encoded = LateInteractionReranker(encoder=minilm).compress_documents(documents, question)
    assert [document.id for document in stored] == [document.id for document in encoded]
    assert stored[0].id == "break"
    # The encoder alone does not know how rare a word is in the collection: its scores are near, not equal.
    scores = [[document.metadata["relevance_score"] for document in found] for found in (stored, encoded)]
    assert scores[0] == pytest.approx(scores[1], abs=0.1)


async def test_the_loop_is_free_to_answer_while_fifty_questions_are_encoded(reference, minilm, monkeypatch):
    retriever = LateInteractionRetriever(collection=reference.collection, k=3)
    questions = [f"{question} (number {n})" for n in range(10) for question in QUESTIONS]
    expected = [retriever.invoke(question) for question in questions]
    watch, encode = Watch(asyncio.get_running_loop()), minilm.encode_queries

    def encode_after_an_answer(texts):
        watch.ask()
        return encode(texts)

    monkeypatch.setattr(minilm, "encode_queries", encode_after_an_answer)
    found = await asyncio.gather(*(retriever.ainvoke(question) for question in questions))
    assert found == expected
    assert len(watch.answers) == 50


def test_what_was_written_through_langchain_is_read_without_it(reference, minilm):
    with Collection(reference.collection.path, minilm) as collection:
        [hit] = collection.search("How do I leave a loop early?", k=1)
        assert (hit.id, hit.metadata) == ("break", reference.get_by_ids(["break"])[0].metadata)
