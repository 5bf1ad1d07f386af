"""IngestionPipeline into the store: upserts, deletes, and the step without which nothing is stored."""

from __future__ import annotations

import pytest
from llama_index.core.ingestion import DocstoreStrategy, IngestionPipeline
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.schema import Document, TextNode
from llama_index.core.storage.docstore import SimpleDocumentStore

from retrievers.llama_index import LateInteractionTransform, LateInteractionVectorStore
from retrievers.testing.llama_index.cases import ask


@pytest.fixture
def store(collection):
    return LateInteractionVectorStore(collection)


def pipeline(store, strategy=DocstoreStrategy.UPSERTS, docstore=None):
    splitter = SentenceSplitter(chunk_size=15, chunk_overlap=0, include_metadata=False)
    return IngestionPipeline(
        transformations=[splitter, LateInteractionTransform()],
        vector_store=store,
        docstore=docstore if docstore is not None else SimpleDocumentStore(),
        docstore_strategy=strategy,
    )


def texts(store):
    return {node.text for node in store.get_nodes()}


def test_the_pipeline_writes_into_the_store(store, documents):
    nodes = pipeline(store).run(documents=documents)
    assert len(nodes) == len(store.get_nodes()) == 7
    assert store.query(ask("whales sing", 1)).nodes[0].ref_doc_id == "sea"


def test_without_the_last_step_the_pipeline_stores_nothing(store, documents):
    """The trap that LateInteractionTransform is for; should it go away, so can the step."""
    bare = IngestionPipeline(transformations=[SentenceSplitter()], vector_store=store)
    bare.run(documents=documents)
    assert store.get_nodes() == []


async def test_the_pipeline_writes_asynchronously(store, documents):
    await pipeline(store).arun(documents=documents)
    assert len(store.get_nodes()) == 7


def test_one_document_edited_and_one_dropped_leave_no_stale_nodes(store, documents, encoder):
    flow = pipeline(store, DocstoreStrategy.UPSERTS_AND_DELETE)
    flow.run(documents=documents)
    encoded = encoder.encoded_documents
    edited = Document(id_="sky", text="The kite glides over the field.", metadata={"place": "sky"})
    flow.run(documents=[documents[0], edited])
    assert texts(store) == {
        "The whale is the largest animal of the sea.",
        "Whales sing long songs.",
        "A whale feeds its calf with milk.",
        "The kite glides over the field.",
    }
    assert encoder.encoded_documents == encoded + 1


async def test_the_same_asynchronously(store, documents):
    flow = pipeline(store, DocstoreStrategy.UPSERTS_AND_DELETE)
    await flow.arun(documents=documents)
    edited = Document(id_="sky", text="The kite glides over the field.")
    await flow.arun(documents=[documents[0], edited])
    assert {node.ref_doc_id for node in store.get_nodes()} == {"sea", "sky"}
    assert "The swift sleeps in the sky." not in texts(store)


def test_upserts_alone_keep_what_was_left_out(store, documents):
    flow = pipeline(store, DocstoreStrategy.UPSERTS)
    flow.run(documents=documents)
    flow.run(documents=[Document(id_="sky", text="The kite glides over the field.")])
    assert {node.ref_doc_id for node in store.get_nodes()} == {"sea", "sky", "soil"}
    assert "The swift sleeps in the sky." not in texts(store)


def test_the_same_documents_again_are_neither_stored_nor_encoded_again(store, documents, encoder):
    flow = pipeline(store)
    flow.run(documents=documents)
    encoded = encoder.encoded_documents
    assert flow.run(documents=documents) == []
    assert encoder.encoded_documents == encoded
    assert len(store.get_nodes()) == 7


def test_a_pipeline_that_was_saved_goes_on_where_it_stopped(store, documents, encoder, tmp_path):
    flow = pipeline(store)
    flow.run(documents=documents)
    flow.persist(str(tmp_path / "pipeline"))
    encoded = encoder.encoded_documents
    again = pipeline(store)
    again.load(str(tmp_path / "pipeline"))
    assert again.run(documents=documents) == []
    assert encoder.encoded_documents == encoded


def test_documents_that_are_not_cut_are_dropped_whole(store, documents):
    flow = IngestionPipeline(
        transformations=[LateInteractionTransform()],
        vector_store=store,
        docstore=SimpleDocumentStore(),
        docstore_strategy=DocstoreStrategy.UPSERTS_AND_DELETE,
    )
    flow.run(documents=documents)
    flow.run(documents=documents[:1])
    assert [node.node_id for node in store.get_nodes()] == ["sea"]


def test_the_step_leaves_the_nodes_that_it_is_given_as_they_are():
    plain, embedded = TextNode(text="a"), TextNode(text="b", embedding=[1.0])
    marked = LateInteractionTransform()([plain, embedded])
    assert [node.embedding for node in marked] == [[], [1.0]]
    assert plain.embedding is None
    assert LateInteractionTransform().to_dict() == {"class_name": "LateInteractionTransform"}
