"""The postprocessors: reordering nodes, and cutting them down to the passage that answers."""

from __future__ import annotations

import asyncio
from datetime import date

import pytest
from llama_index.core.bridge.pydantic import Field
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.schema import Document, IndexNode, MetadataMode, NodeWithScore, TextNode

from retrievers import Collection
from retrievers.errors import InvalidInputError
from retrievers.llama_index import LateInteractionRerank, LateInteractionVectorStore, PassagePostprocessor
from retrievers.testing import HashingEncoder
from retrievers.testing.llama_index.cases import ANIMALS, as_dict

WORDS = 50


def scored(nodes):
    return [NodeWithScore(node=node, score=place / 10) for place, node in enumerate(nodes)]


@pytest.fixture
def animals(collection):
    LateInteractionVectorStore(collection).add(list(ANIMALS))
    return collection


# ---- LateInteractionRerank


def test_nodes_are_ordered_by_their_score_for_the_question(encoder):
    rerank = LateInteractionRerank(encoder=encoder)
    found = rerank.postprocess_nodes(scored(ANIMALS), query_str="The hen lays an egg for the dog")
    assert [node.node_id for node in found][:2] == ["hen", "dog"]
    assert [node.score for node in found] == sorted((node.score for node in found), reverse=True)
    assert len(found) == 4


def test_top_n_is_the_most_that_stays(encoder):
    rerank = LateInteractionRerank(encoder=encoder, top_n=1)
    assert [node.node_id for node in rerank.postprocess_nodes(scored(ANIMALS), query_str="postman")] == [
        "dog"
    ]


def test_a_score_threshold_drops_the_rest(encoder):
    rerank = LateInteractionRerank(encoder=encoder, score_threshold=0.9)
    assert [node.node_id for node in rerank.postprocess_nodes(scored(ANIMALS), query_str="dog postman")] == [
        "dog"
    ]


def test_what_comes_in_is_left_as_it_is(encoder):
    given = scored(node.model_copy(deep=True) for node in ANIMALS)
    before = [(node.score, as_dict(node.node)) for node in given]
    found = LateInteractionRerank(encoder=encoder).postprocess_nodes(given, query_str="postman")
    assert [(node.score, as_dict(node.node)) for node in given] == before
    assert all(node is not other for node in found for other in given)


def test_scores_are_those_of_the_collection_and_nothing_stored_is_encoded_again(animals, encoder):
    nodes = scored(LateInteractionVectorStore(animals).get_nodes())
    encoded = encoder.encoded_documents
    found = LateInteractionRerank(animals).postprocess_nodes(nodes, query_str="The dog barks at the cat")
    assert encoder.encoded_documents == encoded
    hits = animals.search("The dog barks at the cat")
    assert [(node.node_id, node.score) for node in found] == [(hit.id, hit.normalized_score) for hit in hits]
    raw = LateInteractionRerank(animals, score="maxsim").postprocess_nodes(
        nodes, query_str="The dog barks at the cat"
    )
    assert [node.score for node in raw] == [hit.score for hit in hits]


def test_a_node_of_the_collection_with_another_text_is_encoded(animals, encoder):
    encoded = encoder.encoded_documents
    changed = TextNode(id_="cat", text="A zebra runs.")
    found = LateInteractionRerank(animals, top_n=1).postprocess_nodes(
        scored([*ANIMALS, changed]), query_str="zebra runs"
    )
    assert found[0].text == "A zebra runs."
    assert encoder.encoded_documents == encoded + 1


def test_embedded_metadata_counts(encoder):
    nodes = [
        TextNode(id_="a", text="plain words", metadata={"topic": "geology"}),
        TextNode(id_="b", text="plain words", metadata={"topic": "astronomy"}),
    ]
    found = LateInteractionRerank(encoder=encoder).postprocess_nodes(scored(nodes), query_str="astronomy")
    assert found[0].node_id == "b"


def test_metadata_need_not_be_json_where_nothing_is_stored(encoder):
    nodes = scored([TextNode(text="words", metadata={"day": date(2026, 1, 31)})])
    assert len(LateInteractionRerank(encoder=encoder).postprocess_nodes(nodes, query_str="words")) == 1


def test_an_index_node_with_an_object_that_no_store_could_keep_is_reranked(encoder):
    nodes = scored([IndexNode(text="words", index_id="t", obj=object())])
    assert len(LateInteractionRerank(encoder=encoder).postprocess_nodes(nodes, query_str="words")) == 1


def test_one_node_twice_stays_twice(encoder):
    nodes = scored([ANIMALS[0], ANIMALS[0]])
    assert len(LateInteractionRerank(encoder=encoder).postprocess_nodes(nodes, query_str="cat")) == 2


def test_no_nodes_are_no_error_and_no_question_is(encoder):
    rerank = LateInteractionRerank(encoder=encoder)
    assert rerank.postprocess_nodes([], query_str="postman") == []
    with pytest.raises(InvalidInputError, match="query_str"):
        rerank.postprocess_nodes(scored(ANIMALS))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "neither came"),
        ({"collection": 1, "encoder": 2}, "both came"),
        ({"encoder": HashingEncoder(), "top_n": 0}, "top_n is 0"),
    ],
)
def test_what_makes_no_sense_is_refused_at_once(given, message):
    with pytest.raises(InvalidInputError, match=message):
        LateInteractionRerank(**given)


def test_callbacks_and_events_tell_of_the_run(encoder):
    class Keeper(BaseEventHandler):
        events: list = Field(default_factory=list)

        def handle(self, event, **kwargs):
            self.events.append(event)

    keeper, handler = Keeper(), LlamaDebugHandler(print_trace_on_end=False)
    dispatcher = get_dispatcher()
    dispatcher.add_event_handler(keeper)
    try:
        rerank = LateInteractionRerank(encoder=encoder, top_n=2, callback_manager=CallbackManager([handler]))
        nodes = scored(ANIMALS)
        found = rerank.postprocess_nodes(nodes, query_str="postman")
    finally:
        dispatcher.event_handlers.remove(keeper)
    [(start, end)] = handler.get_event_pairs(CBEventType.RERANKING)
    assert start.payload["query_str"] == "postman"
    assert start.payload["model_name"] == "testing/hashing"
    assert start.payload["top_k"] == 2
    assert start.payload["nodes"] == nodes
    assert end.payload["nodes"] == found
    [began] = [event for event in keeper.events if isinstance(event, ReRankStartEvent)]
    [ended] = [event for event in keeper.events if isinstance(event, ReRankEndEvent)]
    assert (began.top_n, began.model_name, began.query.query_str) == (2, "testing/hashing", "postman")
    assert [node.node_id for node in ended.nodes] == [node.node_id for node in found]


def test_it_describes_itself_without_its_engine_and_is_made_again_from_that(encoder):
    rerank = LateInteractionRerank(encoder=encoder, top_n=2, score_threshold=0.25)
    described = rerank.to_dict()
    assert described == {
        "class_name": "LateInteractionRerank",
        "top_n": 2,
        "score_threshold": 0.25,
        "score": "normalized",
        "model": "testing/hashing",
        "path": None,
        "evidence_key": None,
    }
    again = LateInteractionRerank.from_dict(described, encoder=encoder)
    assert again.to_dict() == described


async def test_the_async_twin_gives_the_same(encoder):
    rerank = LateInteractionRerank(encoder=encoder, top_n=3)
    expected = rerank.postprocess_nodes(scored(ANIMALS), query_str="The hen and the postman")
    found = await rerank.apostprocess_nodes(scored(ANIMALS), query_str="The hen and the postman")
    assert [(node.node_id, node.score) for node in found] == [(node.node_id, node.score) for node in expected]


# ---- PassagePostprocessor


@pytest.fixture
def long_text():
    words = [f"word{number}" for number in range(4 * WORDS)]
    words[2 * WORDS + 7] = "zebra"
    return " ".join(words)


@pytest.fixture
def cutter():
    return PassagePostprocessor(encoder=HashingEncoder(document_length=WORDS))


def test_a_long_node_is_cut_to_its_best_passage(cutter, long_text):
    node = TextNode(id_="long", text=long_text, metadata={"page": 3}, excluded_embed_metadata_keys=["page"])
    [found] = cutter.postprocess_nodes([NodeWithScore(node=node, score=7.5)], query_str="zebra")
    assert found.text.startswith(f"word{2 * WORDS} ")
    assert "zebra" in found.text
    assert len(found.text.split()) == WORDS
    cut = found.node
    assert long_text[cut.start_char_idx : cut.end_char_idx] == cut.text
    assert (cut.node_id, cut.metadata, found.score) == ("long", {"page": 3}, 7.5)
    assert cut.get_content(MetadataMode.LLM) == f"page: 3\n\n{cut.text}"
    assert node.text == long_text


def test_the_span_counts_from_the_start_of_the_document_that_the_node_was_cut_from(cutter, long_text):
    whole = f"An introduction. {long_text}"
    node = TextNode(text=long_text, start_char_idx=17, end_char_idx=len(whole))
    [found] = cutter.postprocess_nodes([NodeWithScore(node=node)], query_str="zebra")
    assert whole[found.node.start_char_idx : found.node.end_char_idx] == found.text


def test_embedded_metadata_does_not_shift_the_span(cutter, long_text):
    node = TextNode(text=long_text, metadata={"title": "An encyclopaedia"})
    [found] = cutter.postprocess_nodes([NodeWithScore(node=node)], query_str="zebra")
    assert "zebra" in found.text
    assert long_text[found.node.start_char_idx : found.node.end_char_idx] == found.text


def test_a_document_becomes_a_text_node_with_the_span(cutter, long_text):
    document = Document(id_="d", text=long_text, metadata={"page": 3}, excluded_llm_metadata_keys=["page"])
    [found] = cutter.postprocess_nodes([NodeWithScore(node=document)], query_str="zebra")
    assert isinstance(found.node, TextNode)
    assert long_text[found.node.start_char_idx : found.node.end_char_idx] == found.text
    assert (found.node.node_id, found.node.metadata) == ("d", {"page": 3})
    assert found.node.get_content(MetadataMode.LLM) == found.text


def test_short_and_blank_nodes_come_back_whole_and_in_order(cutter, long_text):
    nodes = scored([TextNode(text="short"), TextNode(text=long_text), TextNode(text=" ")])
    found = cutter.postprocess_nodes(nodes, query_str="zebra")
    assert [node.score for node in found] == [0.0, 0.1, 0.2]
    assert (found[0].text, found[2].text) == ("short", " ")
    assert found[0].node.start_char_idx is None
    assert all(node is not other for node, other in zip(found, nodes, strict=True))


def test_stored_nodes_are_not_encoded_again(long_text):
    encoder = HashingEncoder(document_length=WORDS)
    collection = Collection(None, encoder)
    store = LateInteractionVectorStore(collection)
    store.add([TextNode(id_="long", text=long_text, metadata={"title": "An encyclopaedia"})])
    encoded = encoder.encoded_documents
    [found] = PassagePostprocessor(collection).postprocess_nodes(scored(store.get_nodes()), query_str="zebra")
    assert "zebra" in found.text
    assert encoder.encoded_documents == encoded


def test_passages_need_a_question_and_their_async_twin_gives_the_same(cutter, long_text):
    nodes = scored([TextNode(text=long_text)])
    with pytest.raises(InvalidInputError, match="query_str"):
        cutter.postprocess_nodes(nodes)
    [found] = asyncio.run(cutter.apostprocess_nodes(nodes, query_str="zebra"))
    assert found.text == cutter.postprocess_nodes(nodes, query_str="zebra")[0].text
    assert cutter.postprocess_nodes([], query_str="zebra") == []
