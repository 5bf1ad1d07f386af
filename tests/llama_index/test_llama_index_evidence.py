"""Evidence in the metadata of LlamaIndex's nodes: asked for, hidden from models, without encoding anything again."""

from __future__ import annotations

import json

import pytest
from llama_index.core.schema import IndexNode, MetadataMode, NodeWithScore, TextNode

from retrievers import Collection
from retrievers.encoder import LateInteractionEncoder
from retrievers.llama_index import (
    LateInteractionIndex,
    LateInteractionRerank,
    LateInteractionRetriever,
    PassagePostprocessor,
)
from retrievers.testing import HashingEncoder
from tests.collection.test_evidence import GOLDEN

QUERY = "whales sing"


class Counting(HashingEncoder):
    questions = 0

    def encode_queries(self, texts):
        self.questions += len(texts)
        return super().encode_queries(texts)


@pytest.fixture
def index(documents):
    return LateInteractionIndex.from_documents(documents, encoder=Counting())


async def test_a_retriever_adds_evidence_that_no_model_is_shown(index, scripted):
    [plain] = index.as_retriever(similarity_top_k=1).retrieve(QUERY)
    encoder = index.collection.encoder
    before = encoder.questions, encoder.encoded_documents
    retriever = index.as_retriever(similarity_top_k=1, evidence_key="why")
    [told] = retriever.retrieve(QUERY)
    assert [told] == await retriever.aretrieve(QUERY)
    assert (encoder.questions, encoder.encoded_documents) == (before[0] + 2, before[1])
    assert "why" not in plain.node.metadata
    evidence = told.node.metadata["why"]
    assert json.loads(json.dumps(evidence)) == evidence
    text = told.node.get_content(metadata_mode=MetadataMode.NONE)
    marks = [text[one["start"] : one["end"]] for one in evidence["highlights"]]
    assert marks == ["Whales", "sing"]
    assert evidence["passage"]["text"] == text.removesuffix(".")
    for mode in (MetadataMode.NONE, MetadataMode.EMBED, MetadataMode.LLM):
        assert told.node.get_content(metadata_mode=mode) == plain.node.get_content(metadata_mode=mode)
    llm = scripted(answer=lambda prompt: "They do.")
    index.as_query_engine(llm=llm, similarity_top_k=1, evidence_key="why").query(QUERY)
    assert "highlights" not in llm.prompts[0]


def test_a_node_with_evidence_that_is_stored_again_is_not_encoded_again(index):
    encoder = index.collection.encoder
    [told] = index.as_retriever(similarity_top_k=1, evidence_key="why").retrieve(QUERY)
    before = encoder.encoded_documents
    index.vector_store.add([told.node])
    assert encoder.encoded_documents == before


@pytest.mark.parametrize("with_collection", [True, False])
async def test_a_rerank_gives_copies_with_evidence_of_the_rows_that_scored(index, with_collection):
    source = {"collection": index.collection} if with_collection else {"encoder": HashingEncoder()}
    stored = index.as_retriever(similarity_top_k=2).retrieve(QUERY)
    title = TextNode(id_="new", text="The song of a bird", metadata={"title": "whales sing"})
    given = [*stored, NodeWithScore(node=title, score=0.5)]
    rerank = LateInteractionRerank(**source, evidence_key="evidence", score="maxsim")
    found = rerank.postprocess_nodes(given, query_str=QUERY)
    assert await rerank.apostprocess_nodes(given, query_str=QUERY) == found
    assert all("evidence" not in one.node.metadata for one in given)
    for one in found:
        # Also of the node whose title, which is encoded in front of its text, is all that matched.
        assert one.node.metadata["evidence"]["score"] == pytest.approx(one.score, abs=0.02)
        assert not one.node.metadata["evidence"]["approximate"]
    named = {one.node.node_id: one.node.metadata["evidence"] for one in found}
    assert named["new"]["highlights"] == []
    assert named["new"]["apart"] == pytest.approx(2, abs=0.02)


def test_an_index_node_keeps_what_it_leads_to():
    leads = IndexNode(id_="a", text="whales sing", index_id="b", obj=TextNode(text="a long story"))
    [found] = LateInteractionRerank(encoder=HashingEncoder(), evidence_key="why").postprocess_nodes(
        [NodeWithScore(node=leads, score=1.0)], query_str=QUERY
    )
    assert (found.node.obj, found.node.index_id) == (leads.obj, "b")
    assert "why" in found.node.metadata
    assert "why" not in leads.metadata


def test_with_token_pooling_the_evidence_is_approximate_and_no_error():
    encoder = LateInteractionEncoder(
        str(GOLDEN / "pylate-bert"), precision="float32", device="cpu", token_pooling=2
    )
    with Collection(None, encoder) as collection:
        collection.add(["Ada Lovelace wrote the first program in Paris."], ids=["a"])
        retriever = LateInteractionRetriever(collection, evidence_key="why")
        [found] = retriever.retrieve("who wrote the first program")
        [again] = LateInteractionRerank(collection, evidence_key="why").postprocess_nodes(
            [found], query_str="who wrote the first program"
        )
    for one in (found, again):
        assert one.node.metadata["why"]["approximate"]
        assert one.node.metadata["why"]["highlights"]


def test_evidence_passes_through_what_cuts_nodes(index):
    [told] = index.as_retriever(similarity_top_k=1, evidence_key="why").retrieve(QUERY)
    [cut] = PassagePostprocessor(index.collection).postprocess_nodes([told], query_str=QUERY)
    assert cut.node.metadata["why"] == told.node.metadata["why"]
