"""The retriever and the postprocessors inside LlamaIndex's engines, with language models that need no network."""

from __future__ import annotations

import asyncio
import json

import pytest
from llama_index.core import StorageContext
from llama_index.core.agent.workflow import AgentWorkflow, ReActAgent
from llama_index.core.llms import MockLLM
from llama_index.core.node_parser import HierarchicalNodeParser, get_leaf_nodes
from llama_index.core.postprocessor import SimilarityPostprocessor
from llama_index.core.query_engine import (
    CitationQueryEngine,
    RetrieverQueryEngine,
    RouterQueryEngine,
    SubQuestionQueryEngine,
)
from llama_index.core.question_gen import LLMQuestionGenerator
from llama_index.core.response_synthesizers import get_response_synthesizer
from llama_index.core.retrievers import AutoMergingRetriever, VectorIndexAutoRetriever
from llama_index.core.schema import Document
from llama_index.core.selectors import LLMSingleSelector
from llama_index.core.tools import QueryEngineTool, RetrieverTool
from llama_index.core.vector_stores import MetadataInfo, VectorStoreInfo

from retrievers.llama_index import (
    LateInteractionIndex,
    LateInteractionRerank,
    LateInteractionRetriever,
    LateInteractionVectorStore,
    PassagePostprocessor,
)
from retrievers.testing.llama_index.cases import ANIMALS


@pytest.fixture
def animals(collection):
    LateInteractionVectorStore(collection).add(list(ANIMALS))
    return collection


def ids(response):
    return [node.node_id for node in response.source_nodes]


@pytest.mark.parametrize("use_async", [False, True])
def test_a_query_engine_reranks_and_cuts(animals, use_async):
    engine = RetrieverQueryEngine.from_args(
        LateInteractionRetriever(animals, similarity_top_k=4),
        llm=MockLLM(),
        node_postprocessors=[LateInteractionRerank(animals, top_n=2), PassagePostprocessor(animals)],
    )
    question = "Does the dog bark at the cat?"
    response = asyncio.run(engine.aquery(question)) if use_async else engine.query(question)
    assert ids(response) == ["dog", "cat"]
    assert "The dog barks at the postman." in str(response)
    assert "The eel" not in str(response)


def test_a_query_engine_that_finds_nothing_says_so(animals):
    engine = RetrieverQueryEngine.from_args(
        LateInteractionRetriever(animals, score_threshold=0.9), llm=MockLLM()
    )
    response = engine.query("zeppelin")
    assert response.source_nodes == []
    assert str(response) == "Empty Response"


def test_a_cutoff_of_llama_index_works_on_scores(animals):
    engine = RetrieverQueryEngine.from_args(
        LateInteractionRetriever(animals, similarity_top_k=4),
        llm=MockLLM(),
        node_postprocessors=[SimilarityPostprocessor(similarity_cutoff=0.9)],
    )
    assert ids(engine.query("dog postman")) == ["dog"]


def test_a_streamed_answer_comes_from_the_same_nodes(animals):
    engine = RetrieverQueryEngine.from_args(
        LateInteractionRetriever(animals, similarity_top_k=1), llm=MockLLM(), streaming=True
    )
    response = engine.query("postman")
    assert ids(response) == ["dog"]
    assert "postman" in "".join(response.response_gen)


@pytest.mark.parametrize("use_async", [False, True])
def test_sub_questions_are_answered_each_from_its_own_nodes(animals, scripted, use_async):
    def answer(prompt):
        if "sub-questions" in prompt or "sub questions" in prompt:
            items = [
                {"sub_question": "What does the dog bark at?", "tool_name": "animals"},
                {"sub_question": "When does the hen lay an egg?", "tool_name": "animals"},
            ]
            return "```json\n" + json.dumps({"items": items}) + "\n```"
        return prompt

    llm = scripted(answer=answer)
    retriever = LateInteractionRetriever(animals, similarity_top_k=1)
    tool = QueryEngineTool.from_defaults(
        RetrieverQueryEngine.from_args(retriever, llm=llm), name="animals", description="About animals."
    )
    engine = SubQuestionQueryEngine.from_defaults(
        [tool],
        llm=llm,
        question_gen=LLMQuestionGenerator.from_defaults(llm=llm),
        response_synthesizer=get_response_synthesizer(llm=llm, use_async=use_async),
        use_async=use_async,
        verbose=False,
    )
    response = engine.query("What of the dog and the hen?")
    assert {"dog", "hen"} <= set(ids(response))
    assert "The hen lays an egg every morning." in str(response)


def test_citations_number_the_sources(animals):
    engine = CitationQueryEngine.from_args(
        None, llm=MockLLM(), retriever=LateInteractionRetriever(animals, similarity_top_k=2)
    )
    response = engine.query("Does the dog bark at the cat?")
    assert [node.text.splitlines()[0] for node in response.source_nodes] == ["Source 1:", "Source 2:"]
    assert "The dog barks at the postman." in response.source_nodes[0].text
    again = engine.query("Does the dog bark at the cat?")
    assert [node.text for node in again.source_nodes] == [node.text for node in response.source_nodes]


def test_citations_come_from_the_index_too(animals):
    engine = CitationQueryEngine.from_args(
        LateInteractionIndex(collection=animals), llm=MockLLM(), similarity_top_k=1
    )
    assert "The dog barks at the postman." in engine.query("postman").source_nodes[0].text


@pytest.mark.parametrize("use_async", [False, True])
def test_the_auto_retriever_turns_a_question_into_a_filter(animals, scripted, use_async):
    spec = {"query": "The", "filters": [{"key": "legs", "operator": "<", "value": 3}], "top_k": 3}
    llm = scripted(answer=lambda prompt: json.dumps(spec))
    info = VectorStoreInfo(
        content_info="sentences about animals",
        metadata_info=[MetadataInfo(name="legs", type="int", description="how many legs it has")],
    )
    retriever = VectorIndexAutoRetriever(
        LateInteractionIndex(collection=animals), info, llm=llm, similarity_top_k=4
    )
    question = "animals with fewer than three legs"
    found = asyncio.run(retriever.aretrieve(question)) if use_async else retriever.retrieve(question)
    assert {node.node_id for node in found} == {"hen", "eel"}
    assert "how many legs it has" in llm.prompts[0]


def test_the_auto_retriever_may_leave_the_question_empty(animals, scripted):
    spec = {"query": "", "filters": [{"key": "legs", "operator": "==", "value": 4}], "top_k": None}
    info = VectorStoreInfo(content_info="sentences about animals", metadata_info=[])
    retriever = VectorIndexAutoRetriever(
        LateInteractionIndex(collection=animals), info, llm=scripted(answer=lambda prompt: json.dumps(spec))
    )
    assert [node.node_id for node in retriever.retrieve("all animals with four legs")] == ["cat", "dog"]


def test_the_auto_merging_retriever_puts_leaves_together(encoder):
    text = " ".join(f"Sentence {number} tells of badgers." for number in range(12))
    nodes = HierarchicalNodeParser.from_defaults(
        chunk_sizes=[128, 32], chunk_overlap=0
    ).get_nodes_from_documents([Document(id_="badgers", text=text)])
    leaves = get_leaf_nodes(nodes)
    context = StorageContext.from_defaults()
    context.docstore.add_documents(nodes)
    index = LateInteractionIndex(leaves, storage_context=context, encoder=encoder)
    merged = AutoMergingRetriever(index.as_retriever(similarity_top_k=len(leaves)), context).retrieve(
        "badgers"
    )
    parents = {node.node_id for node in nodes} - {leaf.node_id for leaf in leaves}
    assert len(leaves) > 2
    assert {node.node_id for node in merged} <= parents


def test_a_router_chooses_between_two_collections(animals, scripted, encoder):
    from retrievers import Collection

    stones = Collection(None, encoder)
    stones.add(["Granite is an igneous rock."], ids=["granite"])
    choose = scripted(answer=lambda prompt: json.dumps([{"choice": 2, "reason": "it is about rock"}]))
    tools = [
        QueryEngineTool.from_defaults(
            RetrieverQueryEngine.from_args(LateInteractionRetriever(one), llm=MockLLM()),
            name=name,
            description=f"About {name}.",
        )
        for name, one in [("animals", animals), ("stones", stones)]
    ]
    engine = RouterQueryEngine(
        LLMSingleSelector.from_defaults(llm=choose), tools, llm=MockLLM(), verbose=False
    )
    assert ids(engine.query("What is granite?")) == ["granite"]


async def test_an_agent_uses_the_retriever_as_a_tool(animals, scripted):
    def answer(prompt):
        if "Observation:" in prompt.rsplit("Current Conversation", 1)[-1]:
            return "Thought: I can answer.\nAnswer: It barks at the postman."
        return (
            'Thought: I need a tool.\nAction: animals\nAction Input: {"input": "What does the dog bark at?"}'
        )

    tool = RetrieverTool.from_defaults(
        LateInteractionRetriever(animals, similarity_top_k=2),
        node_postprocessors=[LateInteractionRerank(animals, top_n=1)],
        name="animals",
        description="Finds sentences about animals.",
    )
    llm = scripted(answer=answer)
    agent = ReActAgent(tools=[tool], llm=llm, streaming=False)
    workflow = AgentWorkflow(agents=[agent])
    result = await workflow.run("What does the dog bark at?")
    assert str(result) == "It barks at the postman."
    [call] = result.tool_calls
    assert call.tool_name == "animals"
    assert [node.node_id for node in call.tool_output.raw_output] == ["dog"]
    assert call.tool_output.content.strip() == ANIMALS[1].get_content("llm")
