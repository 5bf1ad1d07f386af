"""What a collection on Qdrant looks like, whom it opens for, and by which name."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from qdrant_client import QdrantClient, models

from retrievers.encoder import LateInteractionEncoder
from retrievers.errors import FormatVersionError, InvalidInputError, ModelMismatchError, StoreError
from retrievers.qdrant import QdrantCollection
from retrievers.qdrant.schema import MARK
from retrievers.testing import HashingEncoder


def test_the_schema_is_that_of_the_documentation(server):
    options = {"tenant": "team", "indexed": ["year"], "replication_factor": 1, "shard_number": 2}
    with QdrantCollection(server.url, "schema", HashingEncoder(), **options) as collection:
        info = collection._connection.client.get_collection("schema")
        tokens, pooled = info.config.params.vectors["tokens"], info.config.params.vectors["pooled"]
        assert (tokens.size, tokens.distance, tokens.datatype) == (64, "Dot", "float16")
        assert (tokens.hnsw_config.m, tokens.on_disk) == (0, True)
        assert tokens.multivector_config.comparator == "max_sim"
        assert (pooled.size, pooled.multivector_config) == (64, None)
        assert info.config.params.shard_number == 2
        ours = info.config.metadata[MARK]
        assert (ours["format"], ours["tenant"], ours["datatype"]) == (1, "team", "float16")
        assert ours["fingerprint"] == collection.encoder.fingerprint
        kinds = {name: index.data_type for name, index in info.payload_schema.items()}
        assert kinds["document"] == kinds["f"] == kinds["version"] == kinds["tenant"] == "keyword"
        assert kinds["seq"] == kinds["number"] == "integer"
        assert sum(kind == "float" for kind in kinds.values()) == 5  # of year: a number, and four of a text
        [body] = [body for body in server.bodies if b"is_tenant" in body]
        assert b'"is_tenant":true' in body
        collection.drop()


def test_it_opens_by_name_with_the_model_that_wrote_it():
    client = QdrantClient(":memory:")
    with QdrantCollection(client, "papers", HashingEncoder(seed=3)) as collection:
        collection.add(["one"], ids=["a"])
    with QdrantCollection(client, "papers") as again:
        assert again.fingerprint == HashingEncoder(seed=3).fingerprint
        assert [one.id for one in again.get()] == ["a"]


def test_a_model_with_other_options_that_change_no_row_opens_the_collection(server):
    name = str(Path(__file__).parents[1] / "golden" / "pylate-bert")
    with QdrantCollection(
        server.url, "options", LateInteractionEncoder(name, device="cpu", overlap=0)
    ) as one:
        one.add(["Ada wrote the first program."], ids=["a"])
    with QdrantCollection(server.url, "options", LateInteractionEncoder(name, device="cpu")) as again:
        assert [hit.id for hit in again.search("program")] == ["a"]
    with pytest.raises(ModelMismatchError, match="document_length 64 became 32"):
        QdrantCollection(
            server.url, "options", LateInteractionEncoder(name, device="cpu", document_length=32)
        )


def test_another_model_is_refused_and_changes_nothing(server):
    with QdrantCollection(server.url, "models", HashingEncoder(seed=1)) as collection:
        collection.add(["one"], ids=["a"])
        server.reset()
        with pytest.raises(ModelMismatchError, match="testing/hashing"):
            QdrantCollection(server.url, "models", HashingEncoder(seed=2))
        assert {method for method, _, _ in server.seen} == {"GET"}
        collection.drop()


VECTORS = {
    "tokens": models.VectorParams(
        size=64, distance="Dot", multivector_config=models.MultiVectorConfig(comparator="max_sim")
    ),
    "pooled": models.VectorParams(size=64, distance="Dot"),
}
OURS = {"format": 1, "fingerprint": dict(HashingEncoder().fingerprint), "datatype": "float16", "tenant": None}


@pytest.mark.parametrize(
    ("vectors", "metadata"),
    [
        (VECTORS, None),
        (VECTORS, {"others": 1}),
        (VECTORS, {MARK: {**OURS, "format": 3}}),
        (VECTORS["pooled"], {MARK: OURS}),
        ({"tokens": VECTORS["tokens"]}, {MARK: OURS}),
        ({"tokens": VECTORS["pooled"], "pooled": VECTORS["pooled"]}, {MARK: OURS}),
        ({**VECTORS, "pooled": models.VectorParams(size=8, distance="Dot")}, {MARK: OURS}),
        ({**VECTORS, "pooled": models.VectorParams(size=64, distance="Euclid")}, {MARK: OURS}),
    ],
)
def test_what_another_made_is_refused(vectors, metadata):
    client = QdrantClient(":memory:")
    client.create_collection("papers", vectors_config=vectors, metadata=metadata)
    before = client.get_collection("papers")
    with pytest.raises(FormatVersionError, match="papers"):
        QdrantCollection(client, "papers", HashingEncoder())
    assert client.get_collection("papers") == before


def test_options_of_a_collection_that_is_there_are_compared():
    client = QdrantClient(":memory:")
    QdrantCollection(client, "papers", HashingEncoder(), datatype="float32", tenant="team")
    for options in ({"datatype": "float16"}, {"tenant": "user"}):
        with pytest.raises(InvalidInputError, match="was made with"):
            QdrantCollection(client, "papers", HashingEncoder(), **options)
    assert QdrantCollection(client, "papers")._calls.layout.tenant == "team"


def test_the_server_knows_how_many_bits_the_rows_have():
    client = QdrantClient(":memory:")
    for bits, number in ((None, 1), (4, 2)):  # an earlier version of this library refuses format 2
        QdrantCollection(client, f"papers-{bits}", HashingEncoder(), bits=bits)
        assert client.get_collection(f"papers-{bits}").config.metadata[MARK]["format"] == number
        assert QdrantCollection(client, f"papers-{bits}").bits == (bits or 8)
    with pytest.raises(InvalidInputError, match="was made with bits=4"):
        QdrantCollection(client, "papers-4", HashingEncoder(), bits=8)
    for wrong, encoder in ((4, HashingEncoder(dim=30)), (2, HashingEncoder())):
        with pytest.raises(InvalidInputError, match="bits is"):
            QdrantCollection(client, "others", encoder, bits=wrong)
    assert not client.collection_exists("others")


def test_a_collection_that_is_not_there_needs_an_encoder(server):
    with pytest.raises(StoreError, match="give an encoder"):
        QdrantCollection(server.url, "nowhere")
    assert "nowhere" not in server.engine.shards


def test_two_that_make_it_at_once_share_it(server):
    """The other makes it between the question whether it is there and the request that makes it."""
    client, made = QdrantClient(url=server.url), []
    exists = client.collection_exists

    def then(collection_name):
        answer = exists(collection_name)
        if not made:
            made.append(QdrantCollection(server.url, collection_name, HashingEncoder()))
        return answer

    client.collection_exists = then
    with QdrantCollection(client, "both", HashingEncoder()) as collection:
        collection.add(["one"], ids=["a"])
        assert "a" in made[0]
        made[0].drop()


def test_indexes_that_an_interrupted_start_left_out_are_made(server):
    with QdrantCollection(server.url, "halfway", HashingEncoder()) as collection:
        collection.drop()
    layout = {"vectors_config": VECTORS, "metadata": {MARK: OURS}}
    client = QdrantClient(url=server.url)
    client.create_collection("halfway", **layout)
    with QdrantCollection(client, "halfway", HashingEncoder()) as collection:
        assert {"document", "f", "seq"} <= set(client.get_collection("halfway").payload_schema)
        collection.drop()


@pytest.mark.parametrize("engine", ["local", "server"])
def test_an_alias_moves_readers_to_another_model(request, engine):
    where = QdrantClient(":memory:")
    if engine == "server":
        where = QdrantClient(url=request.getfixturevalue("server").url)
    with suppress(ValueError):
        where.delete_collection("new")
    old = QdrantCollection(where, "old", HashingEncoder(seed=1))
    old.add(["old text"], ids=["a"])
    old.publish("papers")
    early = QdrantCollection(where, "papers")
    assert [one.text for one in early.get()] == ["old text"]
    new = QdrantCollection(where, "new", HashingEncoder(seed=2))
    new.add(["new text"], ids=["a"])
    new.publish("papers")
    with QdrantCollection(where, "papers", HashingEncoder(seed=2)) as reader:
        assert [hit.text for hit in reader.search("text")] == ["new text"]
    # Who has it open stays with the model that it has.
    assert [one.text for one in early.get()] == ["old text"]
    old.drop()
    with pytest.raises(StoreError):
        early.get()
    new.drop()


def test_a_tenant_sees_its_own(server):
    with QdrantCollection(server.url, "tenants", HashingEncoder(), tenant="team") as collection:
        teams = ["red", "blue", ["red", "blue"], None]
        collection.add(["same"] * 4, ids=list("abcd"), metadatas=[{"team": team} for team in teams])
        server.reset()
        assert [hit.id for hit in collection.search("same", filter={"team": "red"})] == ["a", "c"]
        assert any(b'"key":"tenant"' in body for body in server.bodies)
        collection.add(["same"], ids=["a"], metadatas=[{"team": "blue"}])
        assert [hit.id for hit in collection.search("same", filter={"team": "red"})] == ["c"]
        assert collection.delete(filter={"team": "blue"}) == 3
        collection.drop()


def test_the_repr_names_place_and_model(server):
    with QdrantCollection(server.url, "named", HashingEncoder()) as collection:
        assert repr(collection) == f"QdrantCollection('named' at {server.url}, 'testing/hashing')"
        collection.drop()


def test_without_the_client_the_message_has_the_command():
    program = "import sys; sys.modules['qdrant_client'] = None; import retrievers.qdrant"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("retrievers.errors.MissingExtraError")
    assert 'pip install "maxsim-retrievers[qdrant]"' in last


def test_nothing_else_imports_the_client():
    program = "import sys, retrievers.collection, retrievers.evaluate; print('qdrant_client' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
        == "False\n"
    )
