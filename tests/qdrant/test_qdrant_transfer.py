"""push and pull: copies that are killed, go on, and are compared byte for byte."""

from __future__ import annotations

import random
from itertools import count

import pytest
from qdrant_client import QdrantClient

from retrievers import Collection
from retrievers.cli.main import main
from retrievers.collection import transfer
from retrievers.errors import InvalidInputError, ModelMismatchError, StoreError
from retrievers.qdrant import QdrantCollection, connection, pull, push
from retrievers.qdrant.steps import Request
from retrievers.testing import HashingEncoder
from retrievers.types import Document

WORDS = [f"w{number}" for number in range(60)]
NAMES = count()


class Killed(BaseException):
    """The process is gone."""


def encoder():
    return HashingEncoder(dim=30, document_length=8)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """40 documents of none to five windows: with metadata, contexts, sources and attachments, some replaced."""
    draw = random.Random(7)
    with Collection(tmp_path_factory.mktemp("source") / "index", encoder()) as made:
        for number in range(44):
            text = " ".join(draw.choices(WORDS, k=draw.choice([0, 3, 8, 20, 40])))
            metadata = {"n": number, "tags": draw.sample(WORDS, 2), "long": 10**30}
            extra = {"source": f"book {number % 5}", "attachment": {"page": [number]}} if number % 2 else {}
            context = "w1 w2\n" if number % 3 else ""
            made.add([Document(text, f"document {number}", metadata, context, **extra)])
        made.add(["w3 w4 w5"], ids=["document 9"], metadatas=[{"n": -1}])
        made.delete(["document 0", "document 20", "document 21", "document 40"])
        yield made


@pytest.fixture
def dying(monkeypatch):
    """Lets the process die at a request: dying[0] more are made."""
    left = [None]
    answer = connection.Connection.__call__

    def counted(self, step):
        if isinstance(step, Request) and left[0] is not None:
            if left[0] == 0:
                left[0] = None
                raise Killed
            left[0] -= 1
        return answer(self, step)

    monkeypatch.setattr(connection.Connection, "__call__", counted)
    monkeypatch.setattr(transfer, "PAGE", 6)
    return left


def assert_equal(one, other):
    """Everything that is stored, byte for byte, and the answers to 30 questions."""
    assert other.ids() == one.ids()
    for (document, encoded), (same, made) in zip(one.stream(), other.stream(), strict=True):
        assert same == document
        assert made.spans == encoded.spans
        for matrix, copied in zip(encoded.matrices, made.matrices, strict=True):
            assert copied.rows.tobytes() == matrix.rows.tobytes()
            assert copied.scales.tobytes() == matrix.scales.tobytes()
    draw = random.Random(1)
    questions = [" ".join(draw.choices(WORDS, k=4)) for _ in range(30)]
    assert other.search_many(questions, k=10) == one.search_many(questions, k=10)
    assert other.search(questions[0], filter={"n": {"$gt": 10}}) == one.search(
        questions[0], filter={"n": {"$gt": 10}}
    )


@pytest.mark.parametrize("place", ["memory", "server"])
def test_a_push_that_is_killed_ten_times_and_a_pull_give_the_same_collection(
    place, source, server, dying, tmp_path
):
    client = QdrantClient(":memory:") if place == "memory" else QdrantClient(url=server.url)
    draw, name = random.Random(3), f"killed-{next(NAMES)}"
    for _ in range(10):
        dying[0] = draw.randint(0, 30)
        with pytest.raises(Killed):
            push(source, client, name)
    dying[0] = None
    copied = push(source, client, name, alias="published" if place == "memory" else None)
    assert (copied.documents, copied.windows, copied.tokens) == (
        40,
        source.info().windows,
        source.info().tokens,
    )
    for _ in range(3):
        dying[0] = draw.randint(3, 15)
        with pytest.raises(Killed):
            pull(client, name, tmp_path / "back")
    dying[0] = None
    pull(client, "published" if place == "memory" else name, tmp_path / "back")
    with Collection(tmp_path / "back", encoder()) as back:
        assert_equal(source, back)
        assert back.verify() == []
        assert back.encoder.encoded_documents == 0
    assert pull(client, name, tmp_path / "back").added == 0
    client.delete_collection(name)


def test_what_a_copy_has_besides_is_refused_and_stays(source):
    client = QdrantClient(":memory:")
    with QdrantCollection(client, "papers", encoder()) as there:
        there.add(["other"], ids=["foreign"])
        with pytest.raises(InvalidInputError, match="'foreign'"):
            push(source, client, "papers", alias="published")
        assert there.ids() == ["foreign"]
        assert client.get_aliases().aliases == []
    QdrantCollection(client, "others", HashingEncoder(dim=30, seed=1)).close()
    with pytest.raises(ModelMismatchError):
        push(source, client, "others")


def test_a_copy_gets_the_order_and_what_changed_since(source, tmp_path):
    client = QdrantClient(":memory:")
    [last] = source.get([source.ids()[-1]])
    with QdrantCollection(client, "papers", encoder()) as there:
        there.add([last])  # it stands first now
        there.add(["another text"], ids=[source.ids()[4]])
        copied = push(source, client, "papers")
        assert copied.added == 39
        assert there.ids() == source.ids()
        question = "w1 w2 w3"
        assert [hit.id for hit in there.search(question)] == [hit.id for hit in source.search(question)]
    with Collection(tmp_path / "index", encoder()) as there:
        there.add([last])
    with pytest.raises(StoreError, match="another order"):
        pull(client, "papers", tmp_path / "index")


def test_a_copy_that_differs_is_noticed(source):
    client = QdrantClient(":memory:")
    push(source, client, "papers")
    with QdrantCollection(client, "papers", encoder()) as there:
        names = source.ids()
        assert transfer.compare(source, there, names) == (source.info().windows, source.info().tokens)
        there.add([there.get([names[7]])[0]], metadatas=[{"n": "changed"}])
        with pytest.raises(StoreError, match=repr(names[7])):
            transfer.compare(source, there, names)
        assert push(source, client, "papers").added == 1
        [document] = source.get([names[8]])
        [matrix] = encoder().encode_documents(["w1"])
        there.add([document], matrices=[matrix])
        with pytest.raises(StoreError, match=repr(names[8])):
            transfer.compare(source, there, names)
        there.delete([names[9]])
        with pytest.raises(StoreError, match="39 documents where 40"):
            transfer.compare(source, there, names)


def test_the_commands_copy_to_a_server_and_back(source, server, tmp_path, capsys):
    there = ["--name", f"commands-{next(NAMES)}"]
    assert main(["push", str(source.path), "--to", server.url, *there]) == 0
    assert "40 documents were copied by this call" in capsys.readouterr().out
    assert main(["pull", str(tmp_path / "back"), "--from", server.url, *there]) == 0
    assert "40 documents" in capsys.readouterr().out
    with Collection(tmp_path / "back", encoder()) as back:
        assert_equal(source, back)
    assert main(["pull", str(tmp_path / "none"), "--from", server.url, "--name", "nowhere"]) == 1
    assert "there is no collection 'nowhere'" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_rows_of_4_bits_go_to_a_server_and_back_byte_for_byte(server, tmp_path):
    model = HashingEncoder(dim=32, document_length=8)
    name, draw = f"bits-{next(NAMES)}", random.Random(5)
    with Collection(tmp_path / "index", model, bits=4) as made:
        for number in range(30):
            text = " ".join(draw.choices(WORDS, k=draw.choice([0, 3, 8, 20])))
            made.add([Document(text, f"document {number}", {"n": number})], show_progress=False)
        push(made, server.url, name)
        with QdrantCollection(server.url, name, model) as there:
            assert there.bits == 4
            for question in ("w1 w2 w3", "w7"):
                found, expected = there.search(question, exact=True), made.search(question, exact=True)
                assert [hit.id for hit in found] == [hit.id for hit in expected]
                assert [hit.score for hit in found] == pytest.approx(
                    [hit.score for hit in expected], abs=0.01
                )
                score = there.explain(question, found[0]).score
                assert score == pytest.approx(expected[0].score, rel=1e-5)
        pull(server.url, name, tmp_path / "back")
        with Collection(tmp_path / "back", model) as back:
            assert back.bits == 4
            assert_equal_rows(made, back)
            assert back.verify() == []
    QdrantCollection(server.url, name).drop()


def assert_equal_rows(one, other):
    for (document, encoded), (same, made) in zip(one.stream(), other.stream(), strict=True):
        assert (same, made.spans) == (document, encoded.spans)
        assert [part.rows.tobytes() for part in made.matrices] == [
            part.rows.tobytes() for part in encoded.matrices
        ]
        assert [part.scales.tobytes() for part in made.matrices] == [
            part.scales.tobytes() for part in encoded.matrices
        ]


def test_a_copy_has_the_bits_of_its_source(tmp_path):
    client, model = QdrantClient(":memory:"), HashingEncoder(dim=32)
    with Collection(tmp_path / "index", model, bits=4) as made:
        made.add(["one two"], ids=["a"])
        with pytest.raises(InvalidInputError, match="rows of 4 bits a number cannot be copied"):
            push(made, client, "papers", bits=8)
        QdrantCollection(client, "papers", model).close()  # of 8 bits
        with pytest.raises(InvalidInputError, match="bits=8"):
            push(made, client, "papers")
        push(made, client, "small")
    with Collection(tmp_path / "other", model) as other:
        other.add(["one two"], ids=["a"])
    with pytest.raises(InvalidInputError, match="8 bits a number where 4 are asked for"):
        pull(client, "small", tmp_path / "other")


def test_a_pull_weighs_a_question_as_its_origin_does(server, minilm, tmp_path):
    texts = ["The moon pulls the sea.", "The baker sells bread.", "The sea is salt.", "Bread needs salt."]
    name = f"weighed-{next(NAMES)}"
    with Collection(tmp_path / "origin", minilm) as origin:
        origin.add(texts)
        push(origin, server.url, name)
        expected = origin.search_many(["the salt of the sea", "the moon"], k=4)
    pull(server.url, name, tmp_path / "copy")
    with Collection(tmp_path / "copy", minilm) as copied:
        assert copied.search_many(["the salt of the sea", "the moon"], k=4) == expected
