"""Collections that an earlier version wrote, with fingerprints of the first shape, answer as that version did.

Their bytes and answers were made by the code of that time: see golden-collections/make.py.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from retrievers import Collection
from retrievers.encoder import LateInteractionEncoder
from retrievers.errors import ModelNotFoundError
from tests.encoder.conftest import GOLDEN, NAME

HERE = Path(__file__).parent / "golden-collections"
CHECKPOINT = GOLDEN / "pylate-modernbert"
KEPT = json.loads((HERE / "answers.json").read_text("utf-8"))
ANSWERS = KEPT["answers"]
SPACED = "\n\n   Ada Lovelace wrote the first program.  \n\n"


@pytest.fixture(params=["directory", "hub"])
def old(request, tmp_path):
    return Path(shutil.copytree(HERE / request.param, tmp_path / request.param))


@pytest.fixture(scope="module")
def encoder():
    return LateInteractionEncoder(str(CHECKPOINT), precision="float32", device="cpu")


def contents(path):
    return {file.name: file.read_bytes() for file in path.iterdir()}


def answered(collection, question):
    return [
        [hit.id, pytest.approx(hit.score, abs=1e-4), hit.passage.start, hit.passage.end]
        for hit in collection.search(question, k=9)
    ]


def test_it_is_read_without_an_encoder_and_no_byte_of_it_changes(old):
    before = contents(old)
    with Collection.open(old) as collection:
        assert [document.id for document in collection.get()] == ["bare", "spaced", "tea", "long"]
        assert collection.get(["tea"])[0].metadata == {"lang": "en", "price": 2.8}
        assert collection.verify() == []
        info = collection.info()
    assert (info.format_version, info.windows, info.tokens) == (1, KEPT["windows"], KEPT["tokens"])
    assert (info.model, info.model_kind) == (NAME if old.name == "hub" else "pylate-modernbert", None)
    assert info.document_options.startswith("prompt '[D] '; length 64 tokens; every row is kept; weights ")
    assert contents(old) == before


@pytest.mark.parametrize("question", ANSWERS)
def test_with_the_directory_of_its_checkpoint_it_answers_as_it_did(old, encoder, question):
    before = contents(old)
    with Collection(old, encoder) as collection:
        assert answered(collection, question) == ANSWERS[question]
    assert contents(old) == before


def test_without_an_encoder_it_asks_the_hub_for_its_model_and_answers_as_it_did(hub, tmp_path, monkeypatch):
    hub.commit(NAME, CHECKPOINT)
    # What it multiplies in was not stored then, and is chosen by hardware.
    monkeypatch.setattr("retrievers.encoder.precision.multiplies_bfloat16", lambda device: False)
    path = shutil.copytree(HERE / "hub", tmp_path / "c")
    with Collection.open(path) as collection:
        for question, answers in ANSWERS.items():
            assert answered(collection, question) == answers


def test_a_directory_s_name_is_not_asked_of_the_hub(hub, tmp_path):
    path = shutil.copytree(HERE / "directory", tmp_path / "c")
    with Collection.open(path) as collection, pytest.raises(ModelNotFoundError, match="name the directory"):
        collection.search("tea")
    assert hub.requests == []


def test_white_space_around_a_text_keeps_its_rows_as_it_did(old, encoder):
    with Collection(old, encoder) as collection:
        assert len(next(collection.encoder.encode_documents([SPACED]))) == KEPT["rows"]["spaced"]
        collection.add([SPACED], ids=["again"])
        hits = {hit.id: hit for hit in collection.search("   What is the capital?  \n", k=9)}
    assert hits["again"].score == hits["spaced"].score
    assert hits["again"].passage.end == len(SPACED)
    assert len(next(encoder.encode_documents([SPACED]))) == KEPT["rows"]["bare"] < KEPT["rows"]["spaced"]
