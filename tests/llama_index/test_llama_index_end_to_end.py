"""The whole way with the offline model and real documents: pages of the Python language reference."""

from __future__ import annotations

import pytest
from llama_index.core.llms import MockLLM
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.schema import Document

from retrievers.llama_index import LateInteractionIndex, LateInteractionRerank, PassagePostprocessor

TOPICS = ("try", "with", "lambda", "global", "assert", "yield", "continue", "del")


@pytest.fixture(scope="module")
def pages() -> list[Document]:
    from pydoc_data.topics import topics

    return [
        Document(id_=name, text=topics[name], metadata={"title": topics[name].strip().partition("\n")[0]})
        for name in TOPICS
    ]


@pytest.fixture(scope="module")
def index(pages, minilm, tmp_path_factory):
    return LateInteractionIndex.from_documents(
        pages,
        path=tmp_path_factory.mktemp("reference") / "index",
        encoder=minilm,
        transformations=[SentenceSplitter(chunk_size=256, chunk_overlap=20)],
    )


QUESTIONS = {
    "How do I skip to the next round of a loop?": "continue",
    "Is the cleanup code run even if I return early?": "try",
    "How can I write a small function without a name?": "lambda",
    "How do I change a variable of the module from inside a function?": "global",
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_the_right_page_is_found(index, question):
    found = index.as_retriever(similarity_top_k=3).retrieve(question)
    assert QUESTIONS[question] in [node.node.ref_doc_id for node in found]


def test_an_engine_that_reranks_and_cuts_answers_from_the_right_page(index):
    engine = index.as_query_engine(
        llm=MockLLM(),
        similarity_top_k=10,
        node_postprocessors=[
            LateInteractionRerank(index.collection, top_n=2),
            PassagePostprocessor(index.collection),
        ],
    )
    response = engine.query("How can I write a small function without a name?")
    assert response.source_nodes[0].node.ref_doc_id == "lambda"
    assert len(response.source_nodes) == 2
    assert "lambda" in str(response)


def test_evidence_points_into_the_nodes_text_although_the_title_was_encoded_with_it(index):
    question = "How can I write a small function without a name?"
    [best] = index.as_retriever(similarity_top_k=1).retrieve(question)
    assert best.node.get_content("embed") != best.text
    matches = index.collection.explain(question, best.node_id).matches
    for match in matches:
        assert best.text[match.start : match.end] == match.text
    assert any("anonymous" in match.text.lower() or "function" in match.text.lower() for match in matches)


def test_refreshing_real_pages_encodes_nothing(index, pages, monkeypatch):
    def refuse(*args):
        raise AssertionError("something was encoded again")

    monkeypatch.setattr(type(index.collection.encoder), "encode_documents", refuse)
    assert index.refresh_ref_docs(pages) == [False] * len(pages)
