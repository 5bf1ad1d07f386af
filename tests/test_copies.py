"""Copies and pickles: on disk each opens the same directory again, in memory each is refused with a sentence."""

from __future__ import annotations

import copy
import multiprocessing
import os
import pickle
import threading

import pytest
from langchain_core.documents import Document as LangChainDocument
from llama_index.core.schema import NodeWithScore, TextNode

from retrievers import Collection
from retrievers import langchain as lc
from retrievers import llama_index as li
from retrievers.errors import InvalidTypeError, StoreError
from retrievers.testing import HashingEncoder

TEXTS = {"sea": "The whale sings in the sea.", "sky": "The swift sleeps in the sky."}
QUESTION = "What sings in the sea?"


def ask_langchain(component):
    """The id that a component of LangChain finds, or puts first."""
    documents = [LangChainDocument(id=key, page_content=text) for key, text in TEXTS.items()][::-1]
    if isinstance(component, lc.LateInteractionCrossEncoder):
        scores = component.score([(QUESTION, one.page_content) for one in documents])
        return documents[scores.index(max(scores))].id
    if hasattr(component, "compress_documents"):
        return max(
            component.compress_documents(documents, QUESTION),
            key=lambda one: one.metadata.get("relevance_score", one.id == "sea"),
        ).id
    if hasattr(component, "similarity_search"):
        return component.similarity_search(QUESTION, k=1)[0].id
    return component.invoke(QUESTION)[0].id


def ask_llama_index(component):
    """The id that a component of LlamaIndex finds, or puts first."""
    if hasattr(component, "postprocess_nodes"):
        nodes = [NodeWithScore(node=TextNode(id_=key, text=text), score=0) for key, text in TEXTS.items()]
        found = component.postprocess_nodes(nodes, query_str=QUESTION)
        return found[0].node_id
    if hasattr(component, "as_retriever"):
        component = component.as_retriever(similarity_top_k=1)
    if hasattr(component, "retrieve"):
        return component.retrieve(QUESTION)[0].node_id
    return component.query(li.vector_store.VectorStoreQuery(query_str=QUESTION, similarity_top_k=1)).ids[0]


OVER_A_COLLECTION = {
    "LangChain store": (ask_langchain, lambda c: lc.LateInteractionVectorStore(c)),
    "LangChain retriever": (ask_langchain, lambda c: lc.LateInteractionRetriever(collection=c, k=1)),
    "LangChain as_retriever": (ask_langchain, lambda c: lc.LateInteractionVectorStore(c).as_retriever()),
    "LangChain reranker": (ask_langchain, lambda c: lc.LateInteractionReranker(collection=c)),
    "LangChain passages": (ask_langchain, lambda c: lc.PassageCompressor(collection=c)),
    "LangChain cross-encoder": (ask_langchain, lambda c: lc.LateInteractionCrossEncoder(collection=c)),
    "LlamaIndex store": (ask_llama_index, lambda c: li.LateInteractionVectorStore(c)),
    "LlamaIndex retriever": (ask_llama_index, lambda c: li.LateInteractionRetriever(c, similarity_top_k=1)),
    "LlamaIndex rerank": (ask_llama_index, lambda c: li.LateInteractionRerank(c)),
    "LlamaIndex passages": (ask_llama_index, lambda c: li.PassagePostprocessor(c)),
    "LlamaIndex index": (ask_llama_index, lambda c: li.LateInteractionIndex(collection=c)),
}
OVER_AN_ENCODER = {
    "LangChain reranker": (ask_langchain, lambda e: lc.LateInteractionReranker(encoder=e)),
    "LangChain passages": (ask_langchain, lambda e: lc.PassageCompressor(encoder=e)),
    "LangChain cross-encoder": (ask_langchain, lambda e: lc.LateInteractionCrossEncoder(encoder=e)),
    "LlamaIndex rerank": (ask_llama_index, lambda e: li.LateInteractionRerank(encoder=e)),
    "LlamaIndex passages": (ask_llama_index, lambda e: li.PassagePostprocessor(encoder=e)),
}
COPIES = {
    "pickle": lambda one: pickle.loads(pickle.dumps(one)),  # noqa: S301
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
}


@pytest.fixture
def on_disk(tmp_path, encoder):
    with Collection(tmp_path / "index", encoder) as collection:
        collection.add(list(TEXTS.values()), ids=list(TEXTS))
        yield collection


@pytest.mark.parametrize("way", COPIES)
@pytest.mark.parametrize("kind", OVER_A_COLLECTION)
def test_a_copy_of_a_component_searches_the_same_directory(on_disk, kind, way, caplog):
    ask, make = OVER_A_COLLECTION[kind]
    component = make(on_disk)
    again = COPIES[way](component)
    assert type(again) is type(component)
    assert ask(again) == ask(component) == "sea"
    # An index has LlamaIndex's own splitter, which LlamaIndex says that it pickles without its functions.
    assert not caplog.records or kind == "LlamaIndex index"


@pytest.mark.parametrize("way", COPIES)
@pytest.mark.parametrize("kind", OVER_AN_ENCODER)
def test_a_copy_of_a_component_over_an_encoder_has_an_equal_encoder(encoder, kind, way):
    ask, make = OVER_AN_ENCODER[kind]
    assert ask(COPIES[way](make(encoder))) == "sea"


@pytest.mark.parametrize("way", ["pickle", "deepcopy"])
@pytest.mark.parametrize("kind", OVER_A_COLLECTION)
def test_a_copy_of_what_is_in_memory_is_refused_with_a_sentence(encoder, kind, way):
    with Collection(None, encoder) as collection:
        collection.add(list(TEXTS.values()), ids=list(TEXTS))
        _, make = OVER_A_COLLECTION[kind]
        with pytest.raises(InvalidTypeError, match=r"is in memory.*give it a directory"):
            COPIES[way](make(collection))


def test_a_copy_is_another_handle_with_the_same_options(tmp_path, encoder):
    with Collection(tmp_path / "index", encoder, timeout=3.0) as collection:
        collection.add(["one"])
        for way in COPIES.values():
            with way(collection) as again:
                assert (again.path, again.store.timeout) == (collection.path, 3.0)
                assert dict(again.encoder.fingerprint) == dict(encoder.fingerprint)
                again.add(["another"])
        assert len(collection) == 4
        assert copy.deepcopy(collection).encoder is encoder


def test_the_options_of_a_component_are_copied_too(on_disk):
    rerank = li.LateInteractionRerank(on_disk, top_n=1, score_threshold=0.25, score="maxsim")
    for way in COPIES.values():
        assert way(rerank).to_dict() == rerank.to_dict()
    retriever = lc.LateInteractionRetriever(collection=on_disk, k=1, filter={"a": 1}, score_key="s")
    for way in COPIES.values():
        again = way(retriever)
        assert (again.k, again.filter, again.score_key) == (1, {"a": 1}, "s")


def test_a_relative_path_survives_a_change_of_directory(tmp_path, encoder, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    with Collection("index", encoder) as collection:
        collection.add(list(TEXTS.values()), ids=list(TEXTS))
        store = li.LateInteractionVectorStore(collection)
        rerank = li.LateInteractionRerank(collection)
        described, pickled = store.to_dict(), pickle.dumps(store)
        monkeypatch.chdir(tmp_path / "elsewhere")
        assert described["path"] == str(tmp_path / "index")
        assert ask_llama_index(li.LateInteractionVectorStore.from_dict(described, encoder=encoder)) == "sea"
        assert ask_llama_index(li.LateInteractionRerank.from_dict(rerank.to_dict(), encoder=encoder)) == "sea"
        assert ask_llama_index(pickle.loads(pickled)) == "sea"  # noqa: S301
    assert os.listdir(tmp_path / "elsewhere") == []


def test_a_copy_of_what_was_removed_says_so_and_creates_nothing(tmp_path, encoder):
    import shutil

    with Collection(tmp_path / "index", encoder) as collection:
        pickled = pickle.dumps(lc.LateInteractionVectorStore(collection))
    shutil.rmtree(tmp_path / "index")
    with pytest.raises(StoreError, match="no collection"):
        pickle.loads(pickled)  # noqa: S301
    assert not (tmp_path / "index").exists()


class Locked(HashingEncoder):
    """An encoder that pickle cannot hold."""

    def __init__(self):
        super().__init__()
        self.lock = threading.Lock()

    def __reduce__(self):
        return Locked, (self.lock,)


def test_an_encoder_that_cannot_be_pickled_is_named(tmp_path):
    with Collection(tmp_path / "index", Locked()) as collection:
        for one in (collection, li.LateInteractionVectorStore(collection)):
            with pytest.raises(InvalidTypeError, match=r"a Locked, cannot be pickled.*__reduce__"):
                pickle.dumps(one)
        assert copy.deepcopy(collection).encoder is collection.encoder


def test_the_offline_model_is_loaded_again_by_what_it_is(tmp_path):
    from retrievers import LateInteractionEncoder

    encoder = LateInteractionEncoder("offline/minilm")
    assert copy.deepcopy(encoder) is copy.copy(encoder) is encoder
    again = pickle.loads(pickle.dumps(encoder))  # noqa: S301
    assert again.fingerprint == encoder.fingerprint
    assert (again.encode_queries(["a whale"])[0] == encoder.encode_queries(["a whale"])[0]).all()
    with Collection(tmp_path / "index", encoder) as collection:
        collection.add(list(TEXTS.values()), ids=list(TEXTS))
        pickled = pickle.dumps(li.LateInteractionRetriever(collection))
        assert len(pickled) < 10_000  # no weights
        assert ask_llama_index(pickle.loads(pickled)) == "sea"  # noqa: S301


# ---- other processes


def answer(langchain, llama_index, answers):
    answers.put((ask_langchain(langchain), ask_llama_index(llama_index)))


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_components_go_to_another_process(on_disk, method):
    context = multiprocessing.get_context(method)
    answers = context.Queue()
    components = (lc.LateInteractionVectorStore(on_disk), li.LateInteractionRetriever(on_disk))
    process = context.Process(target=answer, args=(*components, answers))
    process.start()
    assert answers.get(timeout=120) == ("sea", "sea")
    process.join()
    assert process.exitcode == 0


def test_a_server_that_loads_before_it_forks_searches_in_its_children(on_disk):
    """As gunicorn does with --preload: the collection is open, and was searched, before the fork."""
    retriever = lc.LateInteractionRetriever(collection=on_disk, k=1)
    index = li.LateInteractionIndex(collection=on_disk)
    assert (ask_langchain(retriever), ask_llama_index(index)) == ("sea", "sea")
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    children = [context.Process(target=answer, args=(retriever, index, answers)) for _ in range(2)]
    for child in children:
        child.start()
    assert [answers.get(timeout=120) for _ in children] == [("sea", "sea")] * 2
    for child in children:
        child.join()
    on_disk.add(["The sea sings of what sings in the sea."], ids=["song"])
    assert ask_langchain(retriever) == "song"
