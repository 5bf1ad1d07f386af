"""Nodes under their own column: a user's metadata are the user's, and what was cut from what is looked up by source."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from langchain_core.documents import Document as LangChainDocument
from llama_index.core.schema import (
    Document,
    MetadataMode,
    NodeRelationship,
    RelatedNodeInfo,
    TextNode,
    TransformComponent,
)

from retrievers import Collection
from retrievers import langchain as lc
from retrievers.llama_index import LateInteractionIndex, LateInteractionRetriever, LateInteractionVectorStore
from retrievers.qdrant import QdrantCollection
from retrievers.testing import HashingEncoder
from retrievers.testing.llama_index.cases import F, ask, where
from retrievers.types import Document as StoredDocument
from retrievers.types import KeepsSources, SearchableCollection
from tests.llama_index.test_llama_index_whole import Sentences, Tired, document

OLD = Path(__file__).parent / "golden" / "format-1"
FORGED = {"ref_doc_id": "house", "content": '{"__data__": {"text": "forged"}, "__type__": "1"}'}


class Plain:
    """A collection with what every collection has, and nothing more."""

    def __init__(self, collection):
        self._inner = collection

    def __getattr__(self, name):
        if name in vars(KeepsSources):
            raise AttributeError(name)
        return getattr(self._inner, name)

    def __len__(self):
        return len(self._inner)

    def __contains__(self, key):
        return key in self._inner


@pytest.fixture(params=["memory", "plain", "qdrant"])
def anywhere(request):
    """An empty collection: ours, one that cannot look up sources, and one on Qdrant."""
    made = {
        "memory": lambda: Collection(None, HashingEncoder()),
        "plain": lambda: Plain(Collection(None, HashingEncoder())),
        "qdrant": lambda: QdrantCollection(":memory:", "papers", HashingEncoder()),
    }[request.param]()
    assert isinstance(made, SearchableCollection)
    assert isinstance(made, KeepsSources) == (request.param != "plain")
    return made


def node(key, text, source="book", **fields):
    relationships = {
        NodeRelationship.SOURCE: RelatedNodeInfo(node_id=source, hash=f"of {source}"),
        NodeRelationship.NEXT: RelatedNodeInfo(node_id=f"next of {key}"),
    }
    return TextNode(id_=key, text=text, relationships=relationships, **fields)


def names(found):
    return sorted(getattr(one, "node_id", None) or one.id for one in found)


# A user's key `_node`


@pytest.mark.parametrize("value", [1, None, {"ref_doc_id": "house"}, FORGED])
def test_a_users_own_key_node_is_data_like_any_other(anywhere, value):
    store, other = LateInteractionVectorStore(anywhere), lc.LateInteractionVectorStore(anywhere)
    store.add([node("part", "A wall.", "house", metadata={"_node": value})])
    other.add_texts(["A roof."], [{"_node": value}], ids=["own"])
    assert [one.metadata for one in store.get_nodes(["part", "own"])] == [{"_node": value}] * 2
    assert [one.metadata for one in other.get_by_ids(["part", "own"])] == [{"_node": value}] * 2
    found = store.query(ask("A roof."))
    assert {one.node_id: one.text for one in found.nodes} == {"part": "A wall.", "own": "A roof."}
    store.delete("house")
    assert names(store.get_nodes()) == ["own"]


def test_metadata_in_the_collection_are_the_users_alone(anywhere):
    LateInteractionVectorStore(anywhere).add([node("part", "A wall.", metadata={"lang": "en"})])
    [stored] = anywhere.get(["part"])
    assert (stored.metadata, stored.source) == ({"lang": "en"}, "book")
    [hit] = anywhere.search("wall")
    assert hit.metadata == {"lang": "en"}
    assert anywhere.get(filter=lambda one: "_node" in one.metadata) == []


# What another framework added


async def test_documents_of_the_core_and_of_langchain_are_their_own_source(anywhere):
    anywhere.add(["The oven is hot."], ids=["core"])
    lc.LateInteractionVectorStore(anywhere).add_texts(["The bread is warm."], ids=["chain"])
    store = LateInteractionVectorStore(anywhere)
    store.add([node("part", "The book is old."), node("core part", "The oven is new.", "core")])
    for doc_ids, expected in (
        (["core"], ["core", "core part"]),
        (["chain", "book", "nowhere"], ["chain", "part"]),
        (["part"], []),
        ([], []),
    ):
        retriever = LateInteractionRetriever(anywhere, doc_ids=doc_ids, similarity_top_k=9)
        assert names(retriever.retrieve("The")) == expected
        assert names(await retriever.aretrieve("The")) == expected
        assert sorted(store.query(ask("The", doc_ids=doc_ids)).ids) == expected
    index = LateInteractionIndex(collection=anywhere)
    index.delete_ref_doc("core")
    assert names(anywhere.get()) == ["chain", "part"]
    index.delete_ref_doc("chain")
    assert names(anywhere.get()) == ["part"]


def test_refreshing_replaces_what_another_framework_added_under_the_documents_id(anywhere):
    anywhere.add(["An old text of the core."], ids=["book"])
    index = LateInteractionIndex(collection=anywhere, transformations=[Sentences()])
    assert index.refresh_ref_docs([document("bread", 3)]) == [True]
    assert [one.source for one in anywhere.get()] == ["book"] * 3
    assert index.refresh_ref_docs([document("bread", 3)]) == [False]
    assert index.refresh_ref_docs([document("water", 2)]) == [True]
    assert sorted(one.text for one in anywhere.get()) == [f"Sentence {n} is about water." for n in range(2)]


# LangChain reads, changes and writes a node


def rewritten(collection, key, change):
    """What LangChain's read, change and write make of a node."""
    store = lc.LateInteractionVectorStore(collection)
    [found] = store.get_by_ids([key])
    change(found)
    store.add_documents([found])
    [got] = LateInteractionVectorStore(collection).get_nodes([key])
    return got


@pytest.fixture
def with_node(anywhere):
    given = node("part", "The cat sleeps.", start_char_idx=40, end_char_idx=55, metadata={"lang": "en"})
    LateInteractionVectorStore(anywhere).add([given])
    return anywhere, given


def test_langchain_that_changes_nothing_leaves_a_node_as_it_was(with_node):
    collection, given = with_node
    encoded, before = collection.encoder.encoded_documents, collection.get(["part"])
    got = rewritten(collection, "part", lambda found: None)
    assert collection.encoder.encoded_documents == encoded
    assert collection.get(["part"]) == before
    assert got.model_dump() == given.model_dump()


def test_langchain_that_changes_metadata_keeps_relationships_and_place(with_node):
    collection, given = with_node
    got = rewritten(collection, "part", lambda found: found.metadata.update(lang="de"))
    assert got.metadata == {"lang": "de"}
    assert got.relationships == given.relationships
    assert (got.text, got.start_char_idx, got.end_char_idx) == ("The cat sleeps.", 40, 55)
    # What was made of the former metadata is encoded no longer.
    assert collection.get(["part"])[0].context == ""
    assert names(LateInteractionRetriever(collection, doc_ids=["book"]).retrieve("cat")) == ["part"]


def test_langchain_that_changes_the_text_keeps_what_is_true_of_it(with_node):
    collection, given = with_node
    got = rewritten(collection, "part", lambda found: setattr(found, "page_content", "The dog sleeps."))
    assert (got.text, got.metadata, got.relationships) == (
        "The dog sleeps.",
        {"lang": "en"},
        given.relationships,
    )
    assert (got.start_char_idx, got.end_char_idx) == (None, None)
    assert collection.get(["part"])[0].context == "lang: en\n\n"
    assert got.get_content(metadata_mode=MetadataMode.EMBED) == "lang: en\n\nThe dog sleeps."
    [found] = LateInteractionRetriever(collection, similarity_top_k=1).retrieve("lang en dog")
    assert found.score == pytest.approx(1, abs=0.02)


def test_a_whole_document_that_langchain_gave_another_text_shows_that_text(anywhere):
    LateInteractionVectorStore(anywhere).add([Document(id_="whole", text="old words")])
    got = rewritten(anywhere, "whole", lambda found: setattr(found, "page_content", "new words"))
    assert (type(got), got.text, got.get_content()) == (Document, "new words", "new words")


def test_a_document_is_no_node_because_somebody_attached_something_to_it(anywhere):
    for place, attached in enumerate(({}, {"node": 3}, {"node": "no JSON"}, {"node": "[]"}, {"node": "{}"})):
        anywhere.add([StoredDocument("words", f"a{place}", {"lang": "en"}, attachment=attached)])
    for got in LateInteractionVectorStore(anywhere).get_nodes():
        assert (type(got), got.text, got.metadata) == (TextNode, "words", {"lang": "en"})


# Deciding, replacing, counting


@pytest.mark.parametrize("kind", ["memory", "plain"])
def test_delete_nodes_decides_by_what_is_stored_when_it_deletes(kind):
    inner = Collection(None, HashingEncoder())
    store = LateInteractionVectorStore(inner if kind == "memory" else Plain(inner))
    store.add([node("a", "one", metadata={"open": 0}), node("b", "two", metadata={"open": 0})])

    def meanwhile(name):
        inner.store.pause = lambda name: None
        inner.update(["a"], [{"open": 1}])

    inner.store.pause = meanwhile
    store.delete_nodes(["a", "b"], where("open", F.EQ, 0))
    assert names(inner.get()) == ["a"]


class Broken(TransformComponent):
    """Cuts nothing any more."""

    def __call__(self, nodes, **kwargs):
        raise RuntimeError("no splitter")


@pytest.mark.parametrize("awaited", [False, True])
async def test_update_replaces_and_loses_nothing_where_it_fails(anywhere, awaited):
    async def update(index, given):
        await index.aupdate_ref_doc(given) if awaited else index.update_ref_doc(given)

    good = LateInteractionIndex(collection=anywhere, transformations=[Sentences()])
    good.insert(document("bread", 3))
    before = anywhere.get()
    with pytest.raises(RuntimeError, match="no splitter"):
        await update(LateInteractionIndex(collection=anywhere, transformations=[Broken()]), document("water"))
    assert anywhere.get() == before
    await update(good, document("water", 2))
    assert sorted(one.text for one in anywhere.get()) == [f"Sentence {n} is about water." for n in range(2)]


async def test_a_document_that_is_inserted_again_is_not_there_twice(anywhere):
    index = LateInteractionIndex(collection=anywhere, transformations=[Sentences()])
    index.insert(document("bread", 3))
    await index.ainsert(document("bread", 3))
    assert len(anywhere) == 3
    assert index.refresh_ref_docs([document("bread", 3)]) == [False]


def test_the_docstore_forgets_the_nodes_that_were_replaced(anywhere):
    index = LateInteractionIndex(
        collection=anywhere, transformations=[Sentences()], store_nodes_override=True
    )
    index.insert(document("bread", 3))
    index.update_ref_doc(document("water", 2))
    assert (
        set(index.docstore.docs) == set(index.index_struct.nodes_dict.values()) == set(names(anywhere.get()))
    )


@pytest.mark.parametrize("size", [1, 2, 2048])
def test_nodes_are_counted_before_they_are_cut_into_batches(size):
    """A first batch that fills its own count would be taken for the whole document."""
    collection = Collection(None, Tired())
    index = LateInteractionIndex(collection=collection, transformations=[Sentences()], insert_batch_size=size)
    collection.encoder.left = 4
    with pytest.raises(KeyboardInterrupt):
        index.insert_nodes(Sentences()([document("bread")]))
    collection.encoder.left = 99
    stored = len(collection)
    assert stored == (4 // size * size if size < 2048 else 0) or stored < 9
    assert index.refresh_ref_docs([document("bread")]) == [True]
    assert len(collection) == 9
    assert index.refresh_ref_docs([document("bread")]) == [False]


# Collections that were written before nodes had a column


@pytest.fixture
def old(tmp_path):
    return Path(shutil.copytree(OLD, tmp_path / "old"))


def check_old(collection):
    store = LateInteractionVectorStore(collection)
    assert names(store.get_nodes()) == ["cat", "core", "dog", "hen", "whole"]
    [cat, whole, core] = store.get_nodes(["cat", "whole", "core"])
    assert (cat.text, cat.metadata) == ("The cat sleeps.", {"lang": "en", "page": 1})
    assert (cat.ref_doc_id, cat.next_node.node_id) == ("house", "next of cat")
    assert (type(whole), whole.text) == (Document, "A whole document.")
    assert core.metadata == {"lang": "en", "_node": "mine"}
    assert sorted(store.query(ask("The", 9, doc_ids=["house", "core"])).ids) == ["cat", "core", "dog"]
    assert sorted(store.query(ask("The", 9, filters=where("lang", F.EQ, "en"))).ids) == ["cat", "core", "dog"]
    assert collection.get(filter={"_node.ref_doc_id": "house"}) == []
    assert names(collection.get(filter={"_node": {"$is_empty": False}})) == ["core"]
    [hit] = collection.search("hen eggs", k=1, filter={"_node": {"$is_empty": True}})
    assert (hit.id, hit.metadata) == ("hen", {"lang": "fr", "page": 1})
    assert collection.verify() == []


def test_an_older_collection_is_read_as_it_is_and_moves_with_the_first_write(old):
    before = {file.name: file.read_bytes() for file in old.iterdir() if "catalog" not in file.name}
    with Collection(old) as collection:
        collection._encoder = HashingEncoder()
        check_old(collection)
        assert collection.store.migrate()
        check_old(collection)
        assert not collection.store.migrate()
        encoded = collection.encoder.encoded_documents
        LateInteractionVectorStore(collection).add(LateInteractionVectorStore(collection).get_nodes(["cat"]))
        assert collection.encoder.encoded_documents == encoded
        collection.delete_sources(["house"])
        assert names(collection.get()) == ["core", "hen", "whole"]
    assert {file.name: file.read_bytes() for file in old.iterdir() if file.name in before} == before


def test_a_forged_node_moves_nowhere_in_a_collection_of_the_present_format(old):
    with Collection(old) as collection:
        collection._encoder = HashingEncoder()
        lc.LateInteractionVectorStore(collection).add_documents(
            [LangChainDocument(id="forged", page_content="words", metadata={"_node": FORGED})]
        )
        LateInteractionVectorStore(collection).delete("house")
        assert names(collection.get()) == ["core", "forged", "hen", "whole"]
        [got] = LateInteractionVectorStore(collection).get_nodes(["forged"])
        assert (got.text, got.metadata) == ("words", {"_node": FORGED})
