"""One directory, two frameworks: what LangChain writes LlamaIndex reads, and the reverse."""

from __future__ import annotations

import pytest
from langchain_core.documents import Document as LangChainDocument
from llama_index.core.schema import Document as LlamaDocument
from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
)

from retrievers import Collection
from retrievers import langchain as lc
from retrievers import llama_index as li
from retrievers.testing import HashingEncoder

BIRDS = {
    "swift": ("The swift sleeps in the sky.", {"legs": 2, "colour": "black", "eats": ["flies", "gnats"]}),
    "gull": ("The gull steals the bread.", {"legs": 2, "colour": "white", "eats": ["fish", "bread"]}),
    "emu": ("The emu cannot fly but runs.", {"legs": 2, "colour": "brown", "tall": 1.9}),
    "whale": ("The whale is no bird of the sky.", {"legs": 0, "deep": {"sea": True}}),
}
QUESTION = "Which bird sleeps in the sky?"

FILTERS = [
    ({"colour": "white"}, MetadataFilter(key="colour", value="white")),
    ({"legs": {"$ne": 2}}, MetadataFilter(key="legs", value=2, operator=FilterOperator.NE)),
    ({"tall": {"$gte": 1.5}}, MetadataFilter(key="tall", value=1.5, operator=FilterOperator.GTE)),
    (
        {"colour": {"$in": ["white", "brown"]}},
        MetadataFilter(key="colour", value=["white", "brown"], operator=FilterOperator.IN),
    ),
    (
        {"eats": {"$contains": "fish"}},
        MetadataFilter(key="eats", value="fish", operator=FilterOperator.CONTAINS),
    ),
    (
        {"$or": [{"legs": 0}, {"colour": "black"}]},
        MetadataFilters(
            filters=[MetadataFilter(key="legs", value=0), MetadataFilter(key="colour", value="black")],
            condition=FilterCondition.OR,
        ),
    ),
    (
        {"$not": {"legs": 2}},
        MetadataFilters(filters=[MetadataFilter(key="legs", value=2)], condition=FilterCondition.NOT),
    ),
]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "birds"


@pytest.fixture
def written_by_langchain(path, encoder):
    documents = [
        LangChainDocument(page_content=text, id=key, metadata=metadata)
        for key, (text, metadata) in BIRDS.items()
    ]
    store = lc.LateInteractionVectorStore.from_documents(documents, path=path, encoder=encoder)
    store.collection.close()


@pytest.fixture
def written_by_llama_index(path, encoder):
    """Nodes as a splitter makes them: with a source, neighbours, and metadata that is not embedded."""
    nodes = [
        TextNode(
            id_=key,
            text=text,
            metadata=metadata,
            excluded_embed_metadata_keys=list(metadata),
            relationships={
                NodeRelationship.SOURCE: RelatedNodeInfo(node_id="book", metadata={"isbn": "1"}, hash="h"),
                NodeRelationship.NEXT: RelatedNodeInfo(node_id="another"),
            },
        )
        for key, (text, metadata) in BIRDS.items()
    ]
    store = li.LateInteractionVectorStore(path=path, encoder=encoder)
    store.add(nodes)
    store.collection.close()


def both(path, encoder):
    """One collection through both frameworks."""
    collection = Collection(path, encoder)
    return lc.LateInteractionVectorStore(collection), li.LateInteractionVectorStore(collection)


def by_langchain(store, filter=None):
    found = store.similarity_search_with_relevance_scores(QUESTION, k=10, filter=filter)
    return [(one.id, one.page_content, one.metadata, score) for one, score in found]


def by_llama_index(store, filters=None):
    found = store.query(VectorStoreQuery(query_str=QUESTION, similarity_top_k=10, filters=filters))
    return [
        (node.node_id, node.get_content(), node.metadata, score)
        for node, score in zip(found.nodes, found.similarities, strict=True)
    ]


@pytest.mark.parametrize("writer", ["written_by_langchain", "written_by_llama_index"])
def test_texts_ids_metadata_and_scores_are_equal(writer, request, path, encoder):
    request.getfixturevalue(writer)
    langchain, llama_index = both(path, encoder)
    found = by_langchain(langchain)
    assert found == by_llama_index(llama_index)
    assert found[0][0] == "swift"
    assert {key: (text, metadata) for key, text, metadata, _ in found} == BIRDS


@pytest.mark.parametrize("writer", ["written_by_langchain", "written_by_llama_index"])
@pytest.mark.parametrize(("dictionary", "filters"), FILTERS)
def test_filters_find_the_same(writer, dictionary, filters, request, path, encoder):
    request.getfixturevalue(writer)
    langchain, llama_index = both(path, encoder)
    filters = filters if isinstance(filters, MetadataFilters) else MetadataFilters(filters=[filters])
    found = by_langchain(langchain, dictionary)
    assert found == by_llama_index(llama_index, filters)
    assert 0 < len(found) < len(BIRDS)


def test_both_writers_give_the_same_scores(written_by_langchain, path, encoder, tmp_path):
    langchain, _ = both(path, encoder)
    nodes = [
        TextNode(id_=key, text=text, metadata=metadata, excluded_embed_metadata_keys=list(metadata))
        for key, (text, metadata) in BIRDS.items()
    ]
    other = li.LateInteractionVectorStore(path=tmp_path / "other", encoder=encoder)
    other.add(nodes)
    assert by_langchain(langchain) == by_llama_index(other)


def test_langchain_sees_nothing_of_what_llama_index_keeps_beside_a_node(
    written_by_llama_index, path, encoder
):
    store, _ = both(path, encoder)
    [gull] = store.get_by_ids(["gull"])
    assert gull.metadata == BIRDS["gull"][1]
    [found] = store.similarity_search("gull", k=1)
    assert found.metadata == BIRDS["gull"][1]
    seen = []
    store.similarity_search("gull", filter=lambda document: bool(seen.append(document.metadata)) or True)
    assert sorted(seen, key=str) == sorted((metadata for _, metadata in BIRDS.values()), key=str)


def test_llama_index_finds_the_relationships_again_after_langchain_has_read(
    written_by_llama_index, path, encoder
):
    langchain, llama_index = both(path, encoder)
    langchain.similarity_search(QUESTION)
    [node] = llama_index.get_nodes(["gull"])
    assert (node.ref_doc_id, node.next_node.node_id) == ("book", "another")


def test_each_reads_what_the_other_added_to_the_same_directory(written_by_langchain, path, encoder):
    langchain, llama_index = both(path, encoder)
    llama_index.add([TextNode(id_="kite", text="A kite sleeps in the sky too.")])
    langchain.add_texts(["The sky sleeps."], ids=["sky"])
    assert by_langchain(langchain) == by_llama_index(llama_index)
    assert {"kite", "sky"} <= {key for key, *_ in by_langchain(langchain)}


def test_each_deletes_what_the_other_wrote(written_by_langchain, path, encoder):
    langchain, llama_index = both(path, encoder)
    llama_index.delete_nodes(["swift"])
    llama_index.delete("gull")
    llama_index.add([TextNode(id_="kite", text="A kite.")])
    langchain.delete(["kite", "emu"])
    assert [key for key, *_ in by_langchain(langchain)] == ["whale"]


def test_what_langchain_wrote_is_a_document_of_an_index(written_by_langchain, path, encoder):
    index = li.LateInteractionIndex(path=path, encoder=encoder)
    assert set(index.ref_doc_info) == set(BIRDS)
    index.delete_ref_doc("emu")
    assert set(index.ref_doc_info) == set(BIRDS) - {"emu"}


def test_nothing_is_encoded_again_when_the_other_framework_stores_what_it_read(
    written_by_langchain, path, encoder
):
    _, llama_index = both(path, encoder)
    encoded = encoder.encoded_documents
    llama_index.add(llama_index.get_nodes())
    assert encoder.encoded_documents == encoded


def test_each_reranks_what_the_other_wrote(written_by_llama_index, path, encoder):
    langchain, _ = both(path, encoder)
    collection = langchain.collection
    encoded = encoder.encoded_documents
    documents = langchain.similarity_search("The", k=4)
    reranked = lc.LateInteractionReranker(collection=collection, top_n=4).compress_documents(
        documents, QUESTION
    )
    nodes = li.LateInteractionRetriever(collection, similarity_top_k=4).retrieve("The")
    again = li.LateInteractionRerank(collection, top_n=4).postprocess_nodes(nodes, query_str=QUESTION)
    assert [one.id for one in reranked] == [one.node_id for one in again]
    assert encoder.encoded_documents == encoded


def test_documents_move_between_the_frameworks_by_their_own_means(written_by_langchain, path, encoder):
    """LlamaIndex's Document.from_langchain_format takes what our LangChain retriever finds."""
    langchain, _ = both(path, encoder)
    found = langchain.similarity_search(QUESTION, k=2)
    moved = [LlamaDocument.from_langchain_format(one) for one in found]
    other = li.LateInteractionIndex.from_documents(moved, encoder=HashingEncoder())
    assert set(other.ref_doc_info) == {one.id for one in found}
