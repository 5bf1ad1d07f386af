"""The retriever, alone and inside LlamaIndex's own retrievers."""

from __future__ import annotations

import asyncio

import pytest
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler
from llama_index.core.indices.query.query_transform import HyDEQueryTransform
from llama_index.core.llms import MockLLM
from llama_index.core.retrievers import QueryFusionRetriever, RecursiveRetriever, TransformRetriever
from llama_index.core.retrievers.fusion_retriever import FUSION_MODES
from llama_index.core.schema import IndexNode, QueryBundle, TextNode

from retrievers.errors import InvalidInputError
from retrievers.llama_index import LateInteractionRetriever, LateInteractionVectorStore
from retrievers.testing.llama_index.cases import ANIMALS, F, as_dict, where


@pytest.fixture
def animals(collection):
    """A collection of four animals, on disk and in memory."""
    LateInteractionVectorStore(collection).add(list(ANIMALS))
    return collection


def seen(nodes):
    return [(node.node_id, node.score, as_dict(node.node)) for node in nodes]


def test_it_finds_the_nodes_with_the_collections_normalized_scores(animals):
    found = LateInteractionRetriever(animals, similarity_top_k=3).retrieve("The dog barks")
    hits = animals.search("The dog barks", k=3)
    assert [(node.node_id, node.score) for node in found] == [(hit.id, hit.normalized_score) for hit in hits]
    assert found[0].node_id == "dog"


def test_scores_are_maxsim_where_that_is_asked_for(animals):
    found = LateInteractionRetriever(animals, similarity_top_k=3, score="maxsim").retrieve("The dog barks")
    assert [node.score for node in found] == [hit.score for hit in animals.search("The dog barks", k=3)]
    with pytest.raises(InvalidInputError, match="score is 'raw'"):
        LateInteractionRetriever(animals, score="raw")


def test_it_takes_a_query_bundle_and_a_vector_store(animals):
    retriever = LateInteractionRetriever(vector_store=LateInteractionVectorStore(animals), similarity_top_k=1)
    assert retriever.retrieve(QueryBundle("postman"))[0].node_id == "dog"
    assert retriever.collection is animals


@pytest.mark.parametrize("given", [{}, {"collection": 1, "vector_store": 2}])
def test_it_needs_one_thing_to_search(given):
    with pytest.raises(InvalidInputError, match="give either collection= or vector_store="):
        LateInteractionRetriever(**given)


def test_it_returns_two_nodes_unless_told_otherwise_as_other_llama_index_retrievers_do(animals):
    assert len(LateInteractionRetriever(animals).retrieve("The")) == 2


def test_filters_are_applied_before_similarity_top_k(animals):
    retriever = LateInteractionRetriever(animals, similarity_top_k=1, filters=where("legs", F.EQ, 0))
    assert [node.node_id for node in retriever.retrieve("The cat sleeps")] == ["eel"]


def test_a_score_threshold_drops_the_rest(animals):
    retriever = LateInteractionRetriever(animals, similarity_top_k=4, score_threshold=0.9)
    assert [node.node_id for node in retriever.retrieve("cat sleeps")] == ["cat"]
    assert retriever.retrieve("zeppelin") == []


def test_doc_ids_node_ids_and_modes_reach_the_store(animals):
    assert [
        node.node_id for node in LateInteractionRetriever(animals, doc_ids=["farm"]).retrieve("The cat")
    ] == ["hen"]
    assert [
        node.node_id for node in LateInteractionRetriever(animals, node_ids=["eel"]).retrieve("The cat")
    ] == ["eel"]
    mmr = LateInteractionRetriever(animals, vector_store_query_mode="mmr", mmr_threshold=0.0)
    assert len(mmr.retrieve("The")) == 2
    with pytest.raises(InvalidInputError, match=r"'sparse'.*'default', 'mmr'"):
        LateInteractionRetriever(animals, vector_store_query_mode="sparse").retrieve("The")


async def test_aretrieve_gives_what_retrieve_gives(animals):
    retriever = LateInteractionRetriever(animals, similarity_top_k=3, score_threshold=0.1)
    assert seen(await retriever.aretrieve("The dog or the hen")) == seen(
        retriever.retrieve("The dog or the hen")
    )


async def test_fifty_concurrent_calls_equal_sequential_ones(animals):
    retriever = LateInteractionRetriever(animals, similarity_top_k=4)
    questions = [f"{ANIMALS[number % 4].text} {number}" for number in range(50)]
    together = await asyncio.gather(*(retriever.aretrieve(question) for question in questions))
    assert [seen(found) for found in together] == [
        seen(retriever.retrieve(question)) for question in questions
    ]


def test_callbacks_see_the_question_and_the_nodes(animals):
    handler = LlamaDebugHandler(print_trace_on_end=False)
    retriever = LateInteractionRetriever(animals, callback_manager=CallbackManager([handler]))
    found = retriever.retrieve("postman")
    [(start, end)] = handler.get_event_pairs(CBEventType.RETRIEVE)
    assert start.payload["query_str"] == "postman"
    assert end.payload["nodes"] == found


# ---- inside LlamaIndex's own retrievers


@pytest.mark.parametrize("use_async", [False, True])
@pytest.mark.parametrize("mode", list(FUSION_MODES))
def test_fusion_of_the_same_retriever_twice_has_no_duplicates_and_repeats_itself(animals, mode, use_async):
    retriever = LateInteractionRetriever(animals, similarity_top_k=4)
    fusion = QueryFusionRetriever(
        [retriever, retriever],
        llm=MockLLM(),
        mode=mode,
        similarity_top_k=10,
        num_queries=1,
        use_async=use_async,
    )
    first = fusion.retrieve("The dog barks at the cat")
    assert len(first) == 4
    assert [node.node_id for node in first][:2] == ["dog", "cat"]
    expected = seen(first)
    assert seen(fusion.retrieve("The dog barks at the cat")) == expected
    assert seen(asyncio.run(fusion.aretrieve("The dog barks at the cat"))) == expected


def test_fusion_over_generated_questions_has_no_duplicates(animals, scripted):
    retriever = LateInteractionRetriever(animals, similarity_top_k=2)
    llm = scripted(answer=lambda prompt: "The postman\nThe egg every morning\n")
    fusion = QueryFusionRetriever(
        [retriever], llm=llm, mode="reciprocal_rerank", similarity_top_k=10, num_queries=3, use_async=False
    )
    found = [node.node_id for node in fusion.retrieve("The dog and the cat")]
    assert sorted(found) == sorted(set(found))
    assert {"dog", "hen"} <= set(found)


def test_an_index_node_leads_to_its_object(collection):
    inner = TextNode(id_="inner", text="The table says forty-two.")
    LateInteractionVectorStore(collection).add(
        [IndexNode(id_="outer", text="A table of answers", index_id="table")]
    )
    retriever = LateInteractionRetriever(collection, object_map={"table": inner})
    assert [node.node_id for node in retriever.retrieve("table of answers")] == ["inner"]


def test_an_index_node_that_holds_a_node_leads_to_it_from_the_store_alone(collection):
    inner = TextNode(id_="inner", text="The table says forty-two.")
    LateInteractionVectorStore(collection).add(
        [IndexNode(id_="outer", text="A table of answers", index_id="table", obj=inner)]
    )
    assert [node.node_id for node in LateInteractionRetriever(collection).retrieve("table of answers")] == [
        "inner"
    ]


def test_recursive_retrieval_follows_index_nodes_to_another_retriever(animals, encoder):
    from retrievers import Collection

    root = Collection(None, encoder)
    LateInteractionVectorStore(root).add(
        [
            IndexNode(id_="to-animals", text="Questions about animals", index_id="animals"),
            TextNode(id_="stones", text="Questions about stones"),
        ]
    )
    recursive = RecursiveRetriever(
        "root",
        retriever_dict={
            "root": LateInteractionRetriever(root, similarity_top_k=1),
            "animals": LateInteractionRetriever(animals, similarity_top_k=1),
        },
    )
    assert [node.node_id for node in recursive.retrieve("about animals: what barks at the postman?")] == [
        "dog"
    ]
    assert [node.node_id for node in recursive.retrieve("Questions about stones")] == ["stones"]
    deep = asyncio.run(recursive.aretrieve("about animals: what barks at the postman?"))
    assert [node.node_id for node in deep] == ["dog"]


def test_a_transformed_question_is_searched_by_its_own_words(animals):
    hyde = HyDEQueryTransform(llm=MockLLM(), include_original=True)
    retriever = TransformRetriever(LateInteractionRetriever(animals, similarity_top_k=1), hyde)
    assert [node.node_id for node in retriever.retrieve("What barks at the postman?")] == ["dog"]
