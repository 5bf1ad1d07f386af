"""Whole LangChain programs, with language models that are scripted: chains, fusing retrievers, agents, graphs."""

from __future__ import annotations

from operator import itemgetter
from typing import Any, TypedDict

import pytest
from langchain.agents import create_agent
from langchain_classic.chains.query_constructor.schema import AttributeInfo
from langchain_classic.retrievers import (
    ContextualCompressionRetriever,
    EnsembleRetriever,
    MultiQueryRetriever,
    ParentDocumentRetriever,
    SelfQueryRetriever,
)
from langchain_classic.retrievers.document_compressors import DocumentCompressorPipeline
from langchain_core.documents import Document
from langchain_core.language_models import FakeListChatModel, GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage, ToolCall
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda, RunnablePassthrough
from langchain_core.stores import InMemoryStore
from langchain_core.tools import create_retriever_tool
from langchain_text_splitters import CharacterTextSplitter
from langgraph.graph import END, START, StateGraph

from retrievers.langchain import (
    LateInteractionReranker,
    LateInteractionRetriever,
    LateInteractionTranslator,
    PassageCompressor,
)

QUESTION = "which planet has the brightest rings"
ANSWER = "It is Saturn."


def ids(documents: list[Document]) -> list[str | None]:
    return [document.id for document in documents]


@pytest.fixture
def retriever(store) -> LateInteractionRetriever:
    return LateInteractionRetriever(collection=store.collection, k=2)


@pytest.fixture
def prompts() -> list[str]:
    """What the language model was asked, filled by the chain."""
    return []


@pytest.fixture
def chain(retriever, prompts):
    def note(value: Any) -> Any:
        prompts.append(value.to_string())
        return value

    def joined(documents: list[Document]) -> str:
        return "\n".join(document.page_content for document in documents)

    return (
        {"context": retriever | joined, "question": RunnablePassthrough()}
        | ChatPromptTemplate.from_template("{context}\n\n{question}")
        | RunnableLambda(note)
        | FakeListChatModel(responses=[ANSWER])
        | StrOutputParser()
    )


def test_a_chain_answers_from_the_documents_found(chain, prompts):
    assert chain.invoke(QUESTION) == ANSWER
    assert "Saturn is the planet with the brightest rings" in prompts[0]


def test_a_chain_answers_a_batch(chain, prompts):
    assert chain.batch([QUESTION, "the red planet with two small moons"]) == [ANSWER, ANSWER]
    assert any("Mars is the red planet" in prompt for prompt in prompts)


async def test_a_chain_streams(chain):
    assert "".join(chain.stream(QUESTION)) == ANSWER
    assert [part async for part in chain.astream(QUESTION)] == list(ANSWER)


async def test_the_documents_stand_in_the_events_of_a_chain(chain, retriever):
    events = [event async for event in chain.astream_events(QUESTION, version="v2")]
    [start] = [event for event in events if event["event"] == "on_retriever_start"]
    [end] = [event for event in events if event["event"] == "on_retriever_end"]
    assert start["data"]["input"] == {"query": QUESTION}
    assert end["data"]["output"] == retriever.invoke(QUESTION)
    assert end["name"] == "LateInteractionRetriever"


async def test_contextual_compression_reranks_and_cuts(store, retriever):
    pipeline = DocumentCompressorPipeline(
        transformers=[
            LateInteractionReranker(collection=store.collection, top_n=1),
            PassageCompressor(collection=store.collection),
        ]
    )
    compressing = ContextualCompressionRetriever(base_retriever=retriever, base_compressor=pipeline)
    [found] = compressing.invoke(QUESTION)
    assert found.id == "saturn"
    assert found.metadata["passage_span"] == [0, len(found.page_content)]
    assert 0 < found.metadata["relevance_score"] <= 1
    assert await compressing.ainvoke(QUESTION) == [found]


async def test_an_ensemble_has_each_document_once(store, retriever):
    other = store.as_retriever(search_type="mmr", search_kwargs={"k": 3})
    ensemble = EnsembleRetriever(retrievers=[retriever, other])
    found = ensemble.invoke(QUESTION)
    assert found[0].id == "saturn"
    assert len(ids(found)) == len(set(ids(found))) == 3
    assert await ensemble.ainvoke(QUESTION) == found


async def test_several_queries_give_each_document_once(retriever):
    model = FakeListChatModel(responses=["brightest rings\nrings of a planet\nthe planet with rings"])
    several = MultiQueryRetriever.from_llm(retriever=retriever, llm=model)
    found = several.invoke(QUESTION)
    assert found[0].id == "saturn"
    assert len(ids(found)) == len(set(ids(found)))
    assert ids(await several.ainvoke(QUESTION)) == ids(found)


async def test_a_parent_document_is_found_by_a_part_of_it(empty_store):
    retriever = ParentDocumentRetriever(
        vectorstore=empty_store,
        docstore=InMemoryStore(),
        child_splitter=CharacterTextSplitter(separator=". ", chunk_size=30, chunk_overlap=0),
        search_kwargs={"k": 1},
    )
    saturn = Document(page_content="Saturn is far away. It has the brightest rings", metadata={"n": 6})
    mars = Document(page_content="Mars is close by. It has two moons", metadata={"n": 4})
    retriever.add_documents([saturn])
    await retriever.aadd_documents([mars])
    assert len(empty_store.collection) == 4
    assert retriever.invoke("brightest rings") == [saturn]
    assert await retriever.ainvoke("two moons") == [mars]


def query_json(filter: str, query: str = "planet") -> str:
    return f'```json\n{{"query": "{query}", "filter": "{filter}"}}\n```'


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ('eq(\\"kind\\", \\"gas\\")', ["jupiter", "saturn"]),
        ('and(eq(\\"kind\\", \\"rock\\"), gte(\\"moons\\", 1))', ["earth", "mars"]),
        ('not(in(\\"moons\\", [0, 1, 2]))', ["jupiter", "saturn"]),
        ("NO_FILTER", ["earth", "jupiter", "mars", "mercury", "saturn", "venus"]),
    ],
)
async def test_a_language_model_writes_the_filter(store, written, expected):
    retriever = SelfQueryRetriever.from_llm(
        FakeListChatModel(responses=[query_json(written)]),
        store,
        "Facts about planets",
        [
            AttributeInfo(name="kind", description="rock or gas", type="string"),
            AttributeInfo(name="moons", description="how many moons", type="integer"),
        ],
        structured_query_translator=LateInteractionTranslator(),
        search_kwargs={"k": 10},
    )
    assert sorted(ids(retriever.invoke("planets of some kind"))) == expected
    assert sorted(ids(await retriever.ainvoke("planets of some kind"))) == expected


class ToolCallingModel(GenericFakeChatModel):
    """A scripted model that an agent may give tools."""

    def bind_tools(self, tools: Any, **kwargs: Any) -> ToolCallingModel:
        return self


@pytest.fixture
def agent(retriever):
    tool = create_retriever_tool(
        retriever, "planets", "Facts about planets", response_format="content_and_artifact"
    )
    call = ToolCall(name="planets", args={"query": QUESTION}, id="call-1")
    script = [AIMessage(content="", tool_calls=[call]), AIMessage(content=ANSWER)]
    return create_agent(ToolCallingModel(messages=iter(script)), [tool])


@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
async def test_an_agent_gets_the_documents_as_an_artifact(agent, retriever, way):
    question = {"messages": [HumanMessage(QUESTION)]}
    state = agent.invoke(question) if way == "invoke" else await agent.ainvoke(question)
    [result] = [message for message in state["messages"] if message.type == "tool"]
    assert result.artifact == retriever.invoke(QUESTION)
    assert "Saturn is the planet with the brightest rings" in result.content
    assert state["messages"][-1].content == ANSWER


class State(TypedDict, total=False):
    question: str
    documents: list[Document]


async def test_a_graph_node_retrieves(retriever):
    async def retrieve(state: State) -> State:
        return {"documents": await retriever.ainvoke(state["question"], k=1)}

    graph = StateGraph(State)
    graph.add_node("retrieve", retrieve)
    graph.add_node(
        "forget", itemgetter("documents") | RunnableLambda(lambda found: {"question": found[0].id})
    )
    graph.add_edge(START, "retrieve")
    graph.add_edge("retrieve", "forget")
    graph.add_edge("forget", END)
    state = await graph.compile().ainvoke({"question": QUESTION})
    assert ids(state["documents"]) == ["saturn"]
    assert state["question"] == "saturn"
