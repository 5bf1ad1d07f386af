"""What our store does beyond the conformance suite: directories, encoding, scores."""

from __future__ import annotations

import json

import pytest
from llama_index.core import StorageContext
from llama_index.core.schema import TextNode
from llama_index.core.vector_stores import VectorStoreQuery

from retrievers import Collection
from retrievers.errors import FilterError, InvalidInputError, ModelMismatchError
from retrievers.llama_index import LateInteractionVectorStore
from retrievers.testing import HashingEncoder
from retrievers.testing.llama_index.cases import ANIMALS, F, ask, where


def test_a_path_makes_a_store_and_opens_it_again(tmp_path, encoder):
    first = LateInteractionVectorStore.from_path(tmp_path / "index", encoder)
    first.add(list(ANIMALS))
    first.collection.close()
    again = LateInteractionVectorStore.from_path(tmp_path / "index", encoder)
    assert [node.node_id for node in again.get_nodes()] == ["cat", "dog", "hen", "eel"]
    assert again.query(ask("postman", 1)).ids == ["dog"]


def test_the_description_opens_the_directory_again(tmp_path, encoder):
    store = LateInteractionVectorStore(path=tmp_path / "index", encoder=encoder)
    store.add(list(ANIMALS))
    described = json.loads(store.to_json())
    assert described == {
        "class_name": "LateInteractionVectorStore",
        "stores_text": True,
        "is_embedding_query": False,
        "path": str(tmp_path / "index"),
        "model": "testing/hashing",
    }
    again = LateInteractionVectorStore.from_dict(described, encoder=encoder)
    assert again.query(ask("postman", 1)).ids == ["dog"]


def test_the_description_of_a_store_in_memory_needs_a_collection(encoder):
    described = LateInteractionVectorStore(Collection(None, encoder)).to_dict()
    with pytest.raises(InvalidInputError, match="was in memory"):
        LateInteractionVectorStore.from_dict(described)
    collection = Collection(None, encoder)
    assert LateInteractionVectorStore.from_dict(described, collection=collection).collection is collection


def test_the_description_of_a_directory_takes_an_open_collection_instead(tmp_path, encoder):
    described = LateInteractionVectorStore(path=tmp_path / "index", encoder=encoder).to_dict()
    collection = Collection(None, encoder)
    again = LateInteractionVectorStore.from_dict(described, collection=collection)
    assert (again.collection, again.path) == (collection, None)


def test_the_collection_is_given_back(collection):
    store = LateInteractionVectorStore.from_collection(collection)
    assert store.collection is collection
    assert store.client is collection


def test_a_collection_beside_a_path_is_refused(collection, tmp_path):
    with pytest.raises(InvalidInputError, match="both came"):
        LateInteractionVectorStore(collection, path=tmp_path)


def test_another_encoder_is_refused(tmp_path, encoder):
    LateInteractionVectorStore(path=tmp_path / "index", encoder=encoder)
    with pytest.raises(ModelMismatchError):
        LateInteractionVectorStore(path=tmp_path / "index", encoder=HashingEncoder(seed=1))


def test_an_argument_that_nobody_knows_is_refused(collection):
    store = LateInteractionVectorStore(collection)
    with pytest.raises(InvalidInputError, match="similarity_topk"):
        store.query(ask("words"), similarity_topk=3)
    with pytest.raises(InvalidInputError, match="batch"):
        store.add(list(ANIMALS), batch=3)


def test_similarities_are_the_collections_normalized_scores_or_its_maxsim(collection):
    store = LateInteractionVectorStore(collection)
    store.add(list(ANIMALS))
    question = "The dog barks at the cat"
    hits = collection.search(question)
    assert store.query(ask(question)).similarities == [hit.normalized_score for hit in hits]
    assert store.query(ask(question), score="maxsim").similarities == [hit.score for hit in hits]
    with pytest.raises(InvalidInputError, match="score is 'cosine': 'normalized' is MaxSim divided"):
        store.query(ask(question), score="cosine")


def test_a_score_threshold_drops_what_shares_too_little(collection):
    store = LateInteractionVectorStore(collection)
    store.add(list(ANIMALS))
    assert store.query(ask("cat sleeps"), score_threshold=0.9).ids == ["cat"]
    assert store.query(ask("zeppelin"), score_threshold=0.9).ids == []


def test_a_node_that_is_stored_already_is_not_encoded_again(collection, encoder):
    store = LateInteractionVectorStore(collection)
    store.add(list(ANIMALS))
    encoded = encoder.encoded_documents
    store.add([node.model_copy(update={"relationships": {}}) for node in ANIMALS])
    store.add(store.get_nodes())
    assert encoder.encoded_documents == encoded


def test_metadata_that_is_embedded_is_encoded_again_when_it_changes(collection, encoder):
    store = LateInteractionVectorStore(collection)
    store.add([TextNode(id_="a", text="words", metadata={"title": "old"})])
    encoded = encoder.encoded_documents
    store.add([TextNode(id_="a", text="words", metadata={"title": "new"})])
    assert encoder.encoded_documents == encoded + 1
    assert store.query(ask("new", 1), score_threshold=0.9).ids == ["a"]
    assert store.query(ask("old", 1), score_threshold=0.9).ids == []


def test_a_filter_that_makes_no_sense_is_refused(collection):
    store = LateInteractionVectorStore(collection)
    with pytest.raises(FilterError, match=r"\$in of 'legs'.*list"):
        store.query(ask("cat", filters=where("legs", F.IN, 4)))


def test_the_mode_of_the_query_itself_takes_the_mmr_threshold_too(collection):
    store = LateInteractionVectorStore(collection)
    texts = {"first": "red fox in the snow", "copy": "red fox in the snow", "other": "red kite over a field"}
    store.add([TextNode(id_=key, text=text) for key, text in texts.items()])
    query = VectorStoreQuery(query_str="red fox", similarity_top_k=2, mode="mmr", mmr_threshold=0.2)
    assert store.query(query).ids == ["first", "other"]


def test_persist_has_nothing_to_do_for_a_directory(tmp_path, encoder):
    store = LateInteractionVectorStore(path=tmp_path / "index", encoder=encoder)
    store.add(list(ANIMALS))
    StorageContext.from_defaults(vector_store=store).persist(tmp_path / "storage")
    assert (tmp_path / "storage" / "docstore.json").exists()
    assert not (tmp_path / "storage" / "default__vector_store.json").exists()
    # What LlamaIndex wrote beside it can be read again together with the directory.
    again = StorageContext.from_defaults(vector_store=store, persist_dir=str(tmp_path / "storage"))
    assert again.vector_store is store


def test_persist_of_a_store_in_memory_is_refused_rather_than_lost(encoder, tmp_path):
    store = LateInteractionVectorStore(Collection(None, encoder))
    store.add(list(ANIMALS))
    with pytest.raises(InvalidInputError, match=r"4 nodes is in memory.*path="):
        store.persist(str(tmp_path / "store.json"))
