"""No async method works on the event loop's own thread, and the loop stays responsive under load."""

from __future__ import annotations

import asyncio

import pytest
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.llms import MockLLM
from llama_index.core.retrievers import QueryFusionRetriever
from llama_index.core.schema import Document, NodeWithScore, TextNode

from retrievers import Collection
from retrievers.llama_index import (
    LateInteractionIndex,
    LateInteractionRerank,
    LateInteractionRetriever,
    LateInteractionTransform,
    LateInteractionVectorStore,
    PassagePostprocessor,
)
from retrievers.testing.llama_index.cases import ANIMALS, F, ask, where
from tests.loops import OffLoop, Watch, WatchingEncoder

NODE = TextNode(id_="new", text="A new owl.")
FOUND = [NodeWithScore(node=node, score=1.0) for node in ANIMALS]


def engine(collection):
    steps = [LateInteractionRerank(collection), PassagePostprocessor(collection)]
    return LateInteractionIndex(collection=collection).as_query_engine(
        llm=MockLLM(), node_postprocessors=steps
    )


def pipeline(collection):
    return IngestionPipeline(
        transformations=[LateInteractionTransform()], vector_store=LateInteractionVectorStore(collection)
    )


CALLS = {
    "async_add": lambda c: LateInteractionVectorStore(c).async_add([NODE]),
    "adelete": lambda c: LateInteractionVectorStore(c).adelete("house"),
    "adelete_nodes": lambda c: LateInteractionVectorStore(c).adelete_nodes(["cat"]),
    "adelete_nodes by filter": lambda c: LateInteractionVectorStore(c).adelete_nodes(
        filters=where("legs", F.EQ, 4)
    ),
    "aclear": lambda c: LateInteractionVectorStore(c).aclear(),
    "aget_nodes": lambda c: LateInteractionVectorStore(c).aget_nodes(["cat"]),
    "aquery": lambda c: LateInteractionVectorStore(c).aquery(ask("cat")),
    "aquery mmr": lambda c: LateInteractionVectorStore(c).aquery(ask("cat", mode="mmr")),
    "aretrieve": lambda c: LateInteractionRetriever(c).aretrieve("cat"),
    "aretrieve with evidence": lambda c: LateInteractionRetriever(c, evidence_key="why").aretrieve("cat"),
    "rerank with evidence": lambda c: LateInteractionRerank(c, evidence_key="why").apostprocess_nodes(
        FOUND, query_str="cat"
    ),
    "fusion": lambda c: QueryFusionRetriever(
        [LateInteractionRetriever(c)] * 2, llm=MockLLM(), num_queries=1
    ).aretrieve("cat"),
    "rerank": lambda c: LateInteractionRerank(c).apostprocess_nodes(FOUND, query_str="cat"),
    "passages": lambda c: PassagePostprocessor(c).apostprocess_nodes(FOUND, query_str="cat"),
    "ainsert": lambda c: LateInteractionIndex(collection=c).ainsert(Document(text="A new owl.")),
    "ainsert_nodes": lambda c: LateInteractionIndex(collection=c).ainsert_nodes([NODE]),
    "index.adelete_nodes": lambda c: LateInteractionIndex(collection=c).adelete_nodes(["cat"]),
    "adelete_ref_doc": lambda c: LateInteractionIndex(collection=c).adelete_ref_doc("house"),
    "aupdate_ref_doc": lambda c: LateInteractionIndex(collection=c).aupdate_ref_doc(
        Document(id_="house", text="A new owl.")
    ),
    "arefresh_ref_docs": lambda c: LateInteractionIndex(collection=c).arefresh_ref_docs(
        [Document(id_="house", text="A new owl.")]
    ),
    "query engine": lambda c: engine(c).aquery("cat"),
    "chat engine": lambda c: LateInteractionIndex(collection=c).as_chat_engine(llm=MockLLM()).achat("cat"),
    "pipeline": lambda c: pipeline(c).arun(documents=[Document(text="A new owl.")]),
}


@pytest.mark.parametrize("name", CALLS)
async def test_an_async_call_leaves_the_loop_free(name, collection):
    await asyncio.to_thread(LateInteractionVectorStore(collection).add, list(ANIMALS))
    await CALLS[name](OffLoop(collection))


def test_the_guard_of_these_tests_notices_a_call_on_the_loop(collection):
    async def blocking() -> None:
        OffLoop(collection).search("cat")

    with pytest.raises(AssertionError, match="blocks it"):
        asyncio.run(blocking())


async def test_fifty_concurrent_calls_leave_the_loop_free_to_answer_and_agree_with_a_sequence():
    encoder = WatchingEncoder()
    with Collection(None, encoder) as collection:
        LateInteractionVectorStore(collection).add(
            [
                TextNode(id_=f"{number}", text=f"document {number} of class {number % 7}")
                for number in range(500)
            ]
        )
        retriever = LateInteractionRetriever(collection, similarity_top_k=3)
        questions = [f"which document is number {number}" for number in range(50)]
        expected = [retriever.retrieve(question) for question in questions]
        encoder.watch = Watch(asyncio.get_running_loop())
        found = await asyncio.gather(*(retriever.aretrieve(question) for question in questions))
    assert found == expected
    assert len(encoder.watch.answers) == 50
