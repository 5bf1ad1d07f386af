"""A document's nodes are there whole or are completed, and of two writers at once the later wins whole."""

from __future__ import annotations

import subprocess
import sys

import pytest
from llama_index.core import Document
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.schema import TransformComponent

from retrievers import Collection
from retrievers.collection import changing
from retrievers.llama_index import LateInteractionIndex
from retrievers.testing import HashingEncoder


class Sentences(TransformComponent):
    """A node a sentence."""

    def __call__(self, nodes, **kwargs):
        cut = SentenceSplitter(chunk_size=8, chunk_overlap=0, include_metadata=False)
        return cut(nodes, **kwargs)


def document(words: str, count: int = 9) -> Document:
    return Document(id_="book", text=" ".join(f"Sentence {n} is about {words}." for n in range(count)))


def build(collection, *documents) -> LateInteractionIndex:
    return LateInteractionIndex.from_documents(
        documents, collection=collection, transformations=[Sentences()]
    )


def texts(collection) -> list[str]:
    return sorted(one.text for one in collection.get())


def expected(tmp_path, *documents) -> list[str]:
    with Collection(None, HashingEncoder()) as other:
        build(other, *documents)
        return texts(other)


class Tired(HashingEncoder):
    """Breaks off after some windows."""

    left = 5

    def encode_documents(self, texts):
        for matrix in super().encode_documents(texts):
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
            yield matrix


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr(changing, "BATCH_DOCUMENTS", 2)


def test_what_was_cut_off_is_completed_by_the_same_call(tmp_path):
    wanted = expected(tmp_path, document("bread"))
    with Collection(tmp_path / "index", Tired()) as collection, pytest.raises(KeyboardInterrupt):
        build(collection, document("bread"))
    with Collection(tmp_path / "index", HashingEncoder()) as collection:
        assert 0 < len(collection) < len(wanted)
        index = build(collection, document("bread"))
        assert texts(collection) == wanted
        assert index.refresh_ref_docs([document("bread")]) == [False]


def test_a_replacement_that_was_cut_off_is_completed_and_leaves_nothing_of_before(tmp_path):
    wanted = expected(tmp_path, document("water"))
    with Collection(tmp_path / "index", HashingEncoder()) as collection:
        build(collection, document("bread"))
    with Collection(tmp_path / "index", Tired()) as collection, pytest.raises(KeyboardInterrupt):
        build(collection, document("water"))
    with Collection(tmp_path / "index", HashingEncoder()) as collection:
        index = build(collection, document("water"))
        assert texts(collection) == wanted
        assert index.refresh_ref_docs([document("water")]) == [False]


KILLED = """
import os, sys
from llama_index.core.node_parser import SentenceSplitter
from retrievers import Collection
from retrievers.collection import changing
from retrievers.testing import HashingEncoder
from tests.llama_index.test_llama_index_whole import build, document

class Killed(HashingEncoder):
    left = 5
    def encode_documents(self, texts):
        for matrix in super().encode_documents(texts):
            self.left -= 1
            if self.left < 0:
                os.kill(os.getpid(), 9)
            yield matrix

changing.BATCH_DOCUMENTS = 2
build(Collection(sys.argv[1], Killed()), document("bread"))
"""


def test_a_process_that_was_killed_in_the_middle_is_completed(tmp_path):
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "index")], check=False)
    assert done.returncode == -9
    with Collection(tmp_path / "index", HashingEncoder()) as collection:
        assert len(collection) == 4
        build(collection, document("bread"))
        assert texts(collection) == expected(tmp_path, document("bread"))


@pytest.mark.parametrize("call", range(1, 11))
def test_two_at_once_double_nothing_and_the_later_wins_whole(tmp_path, call):
    """The other writer comes, from beginning to end, before a chosen change of this one takes the lock."""
    with (
        Collection(tmp_path / "index", HashingEncoder()) as one,
        Collection(tmp_path / "index", HashingEncoder()) as other,
    ):
        build(one, document("salt"))
        changes: list[str] = []

        def pause(name: str) -> None:
            changes.append(name)
            if len(changes) == call:
                build(other, document("water"))

        one.store.pause = pause
        build(one, document("bread"))
        assert len(changes) >= call
        later = "bread" if "append" in changes[call - 1 :] else "water"
        assert texts(one) == texts(other) == expected(tmp_path, document(later))
        assert one.verify() == []


def test_a_document_of_another_framework_is_replaced_by_the_nodes_of_its_id(tmp_path):
    with Collection(tmp_path / "index", HashingEncoder()) as collection:
        collection.add(["An old text of the core."], ids=["book"])
        index = build(collection, document("bread"))
        assert texts(collection) == expected(tmp_path, document("bread"))
        index.delete_ref_doc("book")
        assert len(collection) == 0
