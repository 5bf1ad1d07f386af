"""The index: no embedding model, no key, and a directory that knows its documents."""

from __future__ import annotations

import asyncio

import pytest
from llama_index.core import (
    MockEmbedding,
    Settings,
    StorageContext,
    VectorStoreIndex,
    load_index_from_storage,
)
from llama_index.core.llms import MockLLM
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.schema import Document, IndexNode, TextNode

from retrievers import Collection
from retrievers.errors import InvalidInputError
from retrievers.llama_index import LateInteractionIndex, LateInteractionRetriever, LateInteractionVectorStore
from retrievers.testing.llama_index.cases import ANIMALS, F, where


@pytest.fixture(autouse=True)
def no_embedding_model(monkeypatch):
    """Whoever asks LlamaIndex for its embedding model fails, as on a machine without a key."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setattr(Settings, "_embed_model", None)

    def refuse(*args, **kwargs):
        raise AssertionError("this asked for LlamaIndex's default embedding model")

    monkeypatch.setattr("llama_index.core.settings.resolve_embed_model", refuse)


@pytest.fixture
def splitter():
    """Cuts each sentence into a node of its own."""
    return [SentenceSplitter(chunk_size=16, chunk_overlap=0)]


@pytest.fixture
def index(documents, collection, splitter):
    return LateInteractionIndex.from_documents(documents, collection=collection, transformations=splitter)


def answers(index, question, **options):
    return [node.node.ref_doc_id for node in index.as_retriever(**options).retrieve(question)]


def test_documents_are_cut_stored_and_found(index):
    found = index.as_retriever(similarity_top_k=1).retrieve("Which bird sleeps in the sky?")
    assert found[0].text == "The swift sleeps in the sky."
    assert found[0].node.ref_doc_id == "sky"
    assert len(index.collection) == 7


def test_a_path_makes_a_directory_that_opens_again(documents, tmp_path, encoder):
    first = LateInteractionIndex.from_documents(documents, path=tmp_path / "index", encoder=encoder)
    first.collection.close()
    again = LateInteractionIndex(path=tmp_path / "index", encoder=encoder)
    assert answers(again, "whales sing", similarity_top_k=1) == ["sea"]


def test_a_store_makes_an_index(collection):
    store = LateInteractionVectorStore(collection)
    store.add(list(ANIMALS))
    index = LateInteractionIndex.from_vector_store(store)
    assert index.vector_store is store
    assert index.collection is collection
    assert answers(index, "postman", similarity_top_k=1) == ["house"]


def test_nodes_make_an_index(collection):
    index = LateInteractionIndex(list(ANIMALS), collection=collection)
    assert answers(index, "postman", similarity_top_k=1) == ["house"]


def test_nodes_make_an_index_asynchronously_too(encoder):
    index = LateInteractionIndex(list(ANIMALS), encoder=encoder, use_async=True)
    assert answers(index, "postman", similarity_top_k=1) == ["house"]


def test_a_storage_context_with_another_store_is_refused():
    with pytest.raises(InvalidInputError, match="has a SimpleVectorStore"):
        LateInteractionIndex(storage_context=StorageContext.from_defaults())


def test_a_storage_context_with_our_store_is_used_as_it_is(collection, documents):
    store = LateInteractionVectorStore(collection)
    context = StorageContext.from_defaults(vector_store=store)
    index = LateInteractionIndex.from_documents(documents, storage_context=context)
    assert index.storage_context is context
    assert index.vector_store is store
    assert answers(index, "whales sing", similarity_top_k=1) == ["sea"]


def test_a_storage_context_keeps_its_docstore_beside_a_collection(collection):
    context = StorageContext.from_defaults()
    index = LateInteractionIndex(storage_context=context, collection=collection)
    assert index.docstore is context.docstore
    assert index.collection is collection


def test_the_embedding_model_that_it_lacks_says_so(index):
    with pytest.raises(InvalidInputError, match="has no embedding model"):
        index._embed_model.get_query_embedding("a question")


def test_load_index_from_storage_gives_this_index_and_not_one_that_wants_an_embedding_model(
    documents, tmp_path, encoder
):
    index = LateInteractionIndex.from_documents(documents, path=tmp_path / "index", encoder=encoder)
    index.storage_context.persist(tmp_path / "storage")
    context = StorageContext.from_defaults(
        vector_store=index.vector_store, persist_dir=str(tmp_path / "storage")
    )
    again = load_index_from_storage(context)
    assert type(again) is LateInteractionIndex
    assert again.index_id == index.index_id
    assert answers(again, "whales sing", similarity_top_k=1) == ["sea"]
    assert again.refresh_ref_docs(documents) == [False, False, False]


def test_a_plain_vector_store_index_works_over_the_store_too(collection, monkeypatch):
    """It embeds what it inserts, for nothing, but asks for no embedding of the question."""
    monkeypatch.undo()
    index = VectorStoreIndex.from_vector_store(
        LateInteractionVectorStore(collection), embed_model=MockEmbedding(embed_dim=1)
    )
    index.insert_nodes(list(ANIMALS))
    monkeypatch.setattr(MockEmbedding, "_get_vector", lambda self: pytest.fail("this asked for an embedding"))
    assert [node.node_id for node in index.as_retriever(similarity_top_k=1).retrieve("postman")] == ["dog"]


# ---- insert, delete, refresh


def test_an_inserted_document_is_found(index):
    index.insert(Document(id_="fire", text="A salamander does not live in the fire."))
    assert answers(index, "salamander fire", similarity_top_k=1) == ["fire"]


async def test_a_document_is_inserted_and_deleted_asynchronously(index):
    await index.ainsert(Document(id_="fire", text="A salamander does not live in the fire."))
    assert answers(index, "salamander fire", similarity_top_k=1) == ["fire"]
    await index.adelete_ref_doc("fire")
    assert "fire" not in index.ref_doc_info


def test_a_deleted_document_is_gone_with_all_its_nodes(index):
    index.delete_ref_doc("sea", delete_from_docstore=True)
    assert answers(index, "whales sing long songs", similarity_top_k=10).count("sea") == 0
    assert set(index.ref_doc_info) == {"sky", "soil"}


def test_deleted_nodes_are_gone(index):
    [best] = index.as_retriever(similarity_top_k=1).retrieve("whales sing long songs")
    index.delete_nodes([best.node_id])
    [other] = index.as_retriever(similarity_top_k=1).retrieve("whales sing long songs")
    assert other.node_id != best.node_id


def test_ref_doc_info_tells_of_documents_and_their_nodes(index):
    info = index.ref_doc_info
    assert {key: len(one.node_ids) for key, one in info.items()} == {"sea": 3, "sky": 2, "soil": 2}
    assert info["sky"].metadata == {"place": "sky"}
    assert all(key in index.collection for one in info.values() for key in one.node_ids)


def test_ref_doc_info_has_the_metadata_of_the_document_and_not_of_a_node(collection):
    whole = Document(id_="book", text="words", metadata={"isbn": "1"})
    part = TextNode(
        text="words", metadata={"isbn": "1", "page": 3}, relationships={"1": whole.as_related_node_info()}
    )
    assert LateInteractionIndex([part], collection=collection).ref_doc_info["book"].metadata == {"isbn": "1"}


def test_ref_doc_info_tells_of_what_another_framework_wrote_too(collection):
    collection.add(["some words"], ids=["a"], metadatas=[{"lang": "en"}])
    info = LateInteractionIndex(collection=collection).ref_doc_info
    assert (info["a"].node_ids, info["a"].metadata) == (["a"], {"lang": "en"})


def test_refresh_twice_encodes_nothing_the_second_time(collection, encoder, documents, splitter):
    index = LateInteractionIndex(collection=collection, transformations=splitter)
    assert index.refresh_ref_docs(documents) == [True, True, True]
    ids, encoded = sorted(node.node_id for node in index.vector_store.get_nodes()), encoder.encoded_documents
    assert index.refresh_ref_docs(documents) == [False, False, False]
    assert encoder.encoded_documents == encoded
    assert sorted(node.node_id for node in index.vector_store.get_nodes()) == ids


def test_refresh_replaces_what_changed_and_adds_what_is_new(index, encoder, documents):
    encoded = encoder.encoded_documents
    edited = Document(id_="sky", text="The kite glides over the field.", metadata={"place": "sky"})
    new = Document(id_="fire", text="A salamander does not live in the fire.")
    assert index.refresh_ref_docs([documents[0], edited, documents[2], new]) == [False, True, False, True]
    assert encoder.encoded_documents == encoded + 2
    assert [node.text for node in index.as_retriever(similarity_top_k=1).retrieve("kite glides")] == [
        edited.text
    ]
    assert "The swift sleeps in the sky." not in {node.text for node in index.vector_store.get_nodes()}
    assert len(index.ref_doc_info["sky"].node_ids) == 1


def test_a_changed_hash_alone_is_a_change(index, documents):
    documents[1].metadata["season"] = "summer"
    assert index.refresh_ref_docs(documents) == [False, True, False]
    assert index.ref_doc_info["sky"].metadata == {"place": "sky", "season": "summer"}


def test_of_several_documents_with_one_id_the_last_counts(index):
    first, last = Document(id_="sky", text="A comet."), Document(id_="sky", text="A meteor.")
    assert index.refresh_ref_docs([first, last]) == [False, True]
    assert [node.text for node in index.vector_store.get_nodes(filters=None) if node.ref_doc_id == "sky"] == [
        "A meteor."
    ]


def test_a_deleted_document_comes_back_by_refresh(index, documents):
    index.delete_ref_doc("sky", delete_from_docstore=True)
    assert index.refresh_ref_docs(documents) == [False, True, False]
    assert "sky" in index.ref_doc_info


async def test_refresh_works_asynchronously(collection, encoder, documents, splitter):
    index = LateInteractionIndex(collection=collection, transformations=splitter)
    assert await index.arefresh_ref_docs(documents) == [True, True, True]
    encoded = encoder.encoded_documents
    documents[2] = Document(id_="soil", text="The worm is eaten.")
    assert await index.arefresh_ref_docs(documents) == [False, False, True]
    assert encoder.encoded_documents == encoded + 1
    assert len(index.ref_doc_info["soil"].node_ids) == 1


def test_another_process_refreshes_the_directory_without_a_docstore(documents, tmp_path, encoder, splitter):
    first = LateInteractionIndex.from_documents(
        documents, path=tmp_path / "index", encoder=encoder, transformations=splitter
    )
    first.collection.close()
    encoded = encoder.encoded_documents
    again = LateInteractionIndex.from_documents(
        documents, path=tmp_path / "index", encoder=encoder, transformations=splitter
    )
    assert encoder.encoded_documents == encoded
    assert len(again.collection) == 7


def test_documents_that_are_not_cut_are_refreshed_and_deleted_whole(collection, documents):
    keep = [lambda nodes, **kwargs: nodes]
    index = LateInteractionIndex.from_documents(documents, collection=collection, transformations=keep)
    assert index.refresh_ref_docs(documents) == [False, False, False]
    edited = Document(id_="sky", text="The kite glides over the field.")
    assert index.refresh_ref_docs([edited]) == [True]
    assert index.vector_store.get_nodes(["sky"])[0].text == edited.text
    index.delete_ref_doc("sky")
    assert set(index.ref_doc_info) == {"sea", "soil"}


def test_update_ref_doc_replaces_the_document(index):
    index.update_ref_doc(Document(id_="sky", text="The kite glides over the field."))
    assert [node.text for node in index.vector_store.get_nodes() if node.ref_doc_id == "sky"] == [
        "The kite glides over the field."
    ]


# ---- as_…


def test_the_retriever_takes_filters_thresholds_and_modes(index):
    assert isinstance(index.as_retriever(), LateInteractionRetriever)
    only_sky = where("place", F.EQ, "sky")
    assert set(answers(index, "whales in the sea", filters=only_sky, similarity_top_k=9)) == {"sky"}
    assert answers(index, "zeppelin", score_threshold=0.9) == []
    assert len(answers(index, "the sea", vector_store_query_mode="mmr", similarity_top_k=3)) == 3
    assert set(answers(index, "the", doc_ids=["soil"], similarity_top_k=9)) == {"soil"}


def test_index_nodes_do_not_hide_the_other_nodes(collection):
    """VectorIndexRetriever searches only the ids of the index nodes as soon as there is one."""
    index = LateInteractionIndex([TextNode(id_="plain", text="plain words")], collection=collection)
    index.insert_nodes([IndexNode(id_="link", text="a link", index_id="elsewhere")])
    assert [node.node_id for node in index.as_retriever().retrieve("plain words")] == ["plain", "link"]


def test_the_objects_of_index_nodes_are_followed(collection):
    inner = LateInteractionIndex(
        [TextNode(id_="inner", text="Answers: forty-two.")], encoder=collection.encoder
    )
    index = LateInteractionIndex(
        objects=[IndexNode(id_="link", text="a table of answers", index_id="t", obj=inner.as_retriever())],
        collection=collection,
    )
    assert [node.node_id for node in index.as_retriever().retrieve("answers")] == ["inner"]


def test_an_object_that_is_inserted_later_is_followed_too(collection):
    index = LateInteractionIndex(collection=collection)
    inner = LateInteractionIndex(
        [TextNode(id_="inner", text="Answers: forty-two.")], encoder=collection.encoder
    )
    node = IndexNode(id_="link", text="a table of answers", index_id="t", obj=inner.as_retriever())
    index.insert_nodes([node])
    assert [found.node_id for found in index.as_retriever().retrieve("answers")] == ["inner"]


def test_the_query_engine_answers_from_the_right_sentence(index):
    response = index.as_query_engine(llm=MockLLM(), similarity_top_k=1).query("Which bird sleeps in the sky?")
    assert [node.text for node in response.source_nodes] == ["The swift sleeps in the sky."]
    assert "The swift sleeps in the sky." in str(response)


def test_the_query_engine_takes_retriever_options(index):
    engine = index.as_query_engine(llm=MockLLM(), similarity_top_k=9, filters=where("place", F.EQ, "soil"))
    assert {node.node.ref_doc_id for node in engine.query("the whale").source_nodes} == {"soil"}


@pytest.mark.parametrize("chat_mode", ["best", "context", "condense_question", "condense_plus_context"])
def test_the_chat_engine_answers_from_the_right_sentence(index, chat_mode):
    engine = index.as_chat_engine(chat_mode=chat_mode, llm=MockLLM(), similarity_top_k=1)
    response = engine.chat("Which bird sleeps in the sky?")
    assert [node.text for node in response.source_nodes] == ["The swift sleeps in the sky."]
    again = asyncio.run(engine.achat("And what digs tunnels in the soil?"))
    assert again.source_nodes


def test_the_index_works_inside_a_running_loop(index):
    async def program():
        found = await index.as_retriever(similarity_top_k=1).aretrieve("whales sing")
        response = await index.as_query_engine(llm=MockLLM(), similarity_top_k=1).aquery("whales sing")
        return found[0].node_id, response.source_nodes[0].node_id

    first, second = asyncio.run(program())
    assert first == second


def test_a_collection_in_memory_needs_nothing_but_an_encoder(documents, encoder):
    index = LateInteractionIndex.from_documents(documents, encoder=encoder)
    assert index.collection.path is None
    assert isinstance(index.collection, Collection)
    assert answers(index, "whales sing", similarity_top_k=1) == ["sea"]
