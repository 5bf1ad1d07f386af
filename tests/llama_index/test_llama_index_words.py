"""HYBRID and TEXT_SEARCH, passages and groups, and the nodes of a collection as a docstore."""

import pytest
from llama_index.core import StorageContext
from llama_index.core.llms import MockLLM
from llama_index.core.node_parser import HierarchicalNodeParser, SentenceSplitter, get_leaf_nodes
from llama_index.core.postprocessor import PrevNextNodePostprocessor
from llama_index.core.retrievers import AutoMergingRetriever, QueryFusionRetriever
from llama_index.core.schema import Document, TextNode
from llama_index.core.vector_stores.types import VectorStoreQuery, VectorStoreQueryMode

from retrievers import Collection
from retrievers.errors import InvalidInputError, NoWordsError
from retrievers.llama_index import LateInteractionIndex, LateInteractionRetriever, LateInteractionVectorStore
from retrievers.testing import HashingEncoder

Mode = VectorStoreQueryMode
TEXTS = {
    "cat": "The cat sleeps on the mat all day long",
    "dog": "The dog AX4711 barks at the cat",
    "hen": "The hen lays an egg on the mat",
    "eel": "The eel swims in the deep sea",
}


@pytest.fixture
def store():
    with Collection(None, HashingEncoder(document_length=4), words="unicode61") as collection:
        store = LateInteractionVectorStore(collection)
        store.add(
            [
                TextNode(id_=key, text=text, metadata={"legs": 0 if key == "eel" else 4})
                for key, text in TEXTS.items()
            ]
        )
        yield store


def asked(store, text, mode, **options):
    top_k = options.pop("top_k", 4)
    query = VectorStoreQuery(
        query_str=text, similarity_top_k=top_k, mode=mode, alpha=options.pop("alpha", None)
    )
    result = store.query(query, **options)
    return list(zip(result.ids, result.similarities, strict=True))


def hits(store, text, **options):
    return [(hit.id, hit.score) for hit in store.collection.search(text, k=4, **options)]


def test_hybrid_blends_and_text_search_asks_words_alone(store):
    question = "does the AX4711 sleep"
    assert asked(store, question, Mode.HYBRID) == hits(store, question, words=0.25)
    assert asked(store, question, Mode.HYBRID, alpha=0.5) == hits(store, question, words=0.5)
    assert asked(store, question, Mode.HYBRID, alpha=0.0) == hits(store, question, words=1.0)
    assert [key for key, _ in asked(store, "AX4711", Mode.TEXT_SEARCH)] == ["dog"]
    plain = store.collection.search(question, k=4)
    assert asked(store, question, Mode.HYBRID, alpha=1.0) == [(hit.id, hit.normalized_score) for hit in plain]
    blended = store.collection.search(question, k=4, words=0.25)
    assert asked(store, question, Mode.HYBRID, score="maxsim") == [
        (hit.id, hit.parts.maxsim) for hit in blended
    ]
    store.collection.index_words(words_weight=0.7)
    assert asked(store, question, Mode.HYBRID) == hits(store, question, words=0.7)
    assert asked(store, question, Mode.DEFAULT) == hits(store, question, words=0.7)


def test_other_modes_and_shares_are_refused_with_the_modes_there_are(store):
    with pytest.raises(InvalidInputError, match=r"'sparse'.*'default', 'mmr', 'hybrid' or 'text_search'"):
        asked(store, "x", Mode.SPARSE)
    with pytest.raises(InvalidInputError, match="alpha"):
        asked(store, "x", Mode.HYBRID, alpha=1.5)
    with Collection(None, HashingEncoder()) as collection:
        without = LateInteractionVectorStore(collection)
        with pytest.raises(NoWordsError, match="index_words"):
            asked(without, "x", Mode.TEXT_SEARCH)


async def test_the_retriever_has_modes_passages_and_groups(store):
    options = {"vector_store_query_mode": "hybrid", "alpha": 0.5, "similarity_top_k": 4}
    retriever = LateInteractionRetriever(
        vector_store=store, passages=2, group_by="legs", group_size=2, **options
    )
    found = retriever.retrieve("the cat AX4711")
    expected = store.collection.search(
        "the cat AX4711", k=4, words=0.5, group_by="legs", group_size=2, passages=2
    )
    assert [(one.node_id, one.score) for one in found] == [(hit.id, hit.score) for hit in expected]
    assert len(found) == 3
    for one, hit in zip(found, expected, strict=True):
        parts = one.node.metadata["passages"]
        assert [part["text"] for part in parts] == [part.window.text for part in hit.passages]
        assert "passages" in one.node.excluded_embed_metadata_keys
    again = await retriever.aretrieve("the cat AX4711")
    assert [(one.node_id, one.score) for one in again] == [(one.node_id, one.score) for one in found]
    assert [key for key, _ in asked(store, "the cat", Mode.DEFAULT, group_by="legs", passages=1)] == [
        "cat",
        "eel",
    ]
    index = LateInteractionIndex.from_vector_store(store)
    assert [
        one.node_id for one in index.as_retriever(vector_store_query_mode="text_search").retrieve("AX4711")
    ] == ["dog"]


async def test_the_pooled_similarity_is_an_option_of_store_retriever_and_index(store):
    question = "the dog sleeps by the sea"
    expected = hits(store, question, pooled=0.75)
    assert expected != hits(store, question)
    assert asked(store, question, Mode.DEFAULT, pooled=0.75) == expected
    assert asked(store, question, Mode.HYBRID, alpha=0.75, pooled=0.5) == hits(
        store, question, words=0.25, pooled=0.5
    )
    retriever = LateInteractionRetriever(vector_store=store, similarity_top_k=4, pooled=0.75)
    assert [(one.node_id, one.score) for one in retriever.retrieve(question)] == expected
    assert [(one.node_id, one.score) for one in await retriever.aretrieve(question)] == expected
    index = LateInteractionIndex.from_vector_store(store)
    found = index.as_retriever(similarity_top_k=4, pooled=0.75).retrieve(question)
    assert [(one.node_id, one.score) for one in found] == expected
    with pytest.raises(InvalidInputError, match="pooled"):
        LateInteractionRetriever(vector_store=store, pooled=1.5)
    with pytest.raises(InvalidInputError, match=r"words is 1 and pooled 0\.5"):
        asked(store, question, Mode.TEXT_SEARCH, pooled=0.5)


def test_the_nodes_of_a_directory_are_a_docstore(tmp_path, documents):
    path, encoder = tmp_path / "index", HashingEncoder()
    splitter = SentenceSplitter(chunk_size=20, chunk_overlap=0)
    LateInteractionIndex.from_documents(documents, path=path, encoder=encoder, transformations=[splitter])
    index = LateInteractionIndex(path=path, encoder=encoder)
    nodes = {node.node_id: node for node in index.vector_store.get_nodes()}
    assert len(nodes) > 3
    assert index.docstore.docs == nodes
    first = next(node for node in nodes.values() if node.next_node is not None and node.prev_node is None)
    following = PrevNextNodePostprocessor(docstore=index.docstore, num_nodes=1, mode="next")
    retriever = index.as_retriever(similarity_top_k=1, node_ids=[first.node_id])
    found = following.postprocess_nodes(retriever.retrieve(first.text))
    assert [one.node_id for one in found] == [first.node_id, first.next_node.node_id]
    assert index.docstore.document_exists(first.node_id)
    assert not index.docstore.document_exists("nowhere")
    with pytest.raises(ValueError, match="nowhere"):
        index.docstore.get_document("nowhere")
    before = len(index.collection)
    index.docstore.add_documents([TextNode(id_="beside", text="x")])
    index.docstore.delete_document(first.node_id, raise_error=False)
    assert index.docstore.get_document("beside").text == "x"
    assert len(index.collection) == before
    index.storage_context.persist(tmp_path / "storage")


def test_their_bm25_retriever_finds_the_nodes_of_an_index_and_fuses_with_ours(tmp_path):
    bm25 = pytest.importorskip("llama_index.retrievers.bm25", reason="needs llama-index-retrievers-bm25")
    nodes = [TextNode(id_=key, text=text) for key, text in TEXTS.items()]
    LateInteractionIndex(nodes, path=tmp_path / "index", encoder=HashingEncoder())
    index = LateInteractionIndex(path=tmp_path / "index", encoder=HashingEncoder())
    by_words = bm25.BM25Retriever.from_defaults(index=index, similarity_top_k=2)
    assert by_words.retrieve("AX4711")[0].node_id == "dog"
    fused = QueryFusionRetriever(
        [index.as_retriever(similarity_top_k=2), by_words],
        llm=MockLLM(),
        num_queries=1,
        mode="reciprocal_rerank",
        use_async=False,
        similarity_top_k=2,
    )
    assert fused.retrieve("The dog AX4711 barks")[0].node_id == "dog"


async def test_parents_that_are_beside_the_leaves_are_found(tmp_path):
    text = " ".join(f"Sentence {number} tells of badgers." for number in range(12))
    parser = HierarchicalNodeParser.from_defaults(chunk_sizes=[128, 32], chunk_overlap=0)
    nodes = parser.get_nodes_from_documents([Document(id_="badgers", text=text)])
    leaves = get_leaf_nodes(nodes)
    index = LateInteractionIndex(leaves, path=tmp_path / "leaves", encoder=HashingEncoder())
    index.docstore.add_documents([node for node in nodes if node not in leaves])
    merging = AutoMergingRetriever(index.as_retriever(similarity_top_k=len(leaves)), index.storage_context)
    merged = merging.retrieve("badgers")
    assert {one.node_id for one in merged} <= {node.node_id for node in nodes} - {
        leaf.node_id for leaf in leaves
    }
    assert (await index.docstore.aget_document(leaves[0].node_id)).text == leaves[0].text
    given = StorageContext.from_defaults()
    beside = LateInteractionIndex(leaves, storage_context=given, encoder=HashingEncoder())
    assert beside.docstore is given.docstore
