"""Commands that encode nothing load no model: neither torch nor what stands on it is imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from retrievers import Collection
from retrievers.testing import HashingEncoder

HEAVY = ("torch", "transformers", "sentence_transformers", "langchain_core", "llama_index")
CODE = f"""
import sys
from retrievers.cli.main import main
try:
    status = main(sys.argv[1:])
except SystemExit as error:
    status = error.code
print("loaded:", [name for name in {HEAVY!r} if name in sys.modules])
raise SystemExit(status)
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with notes, and a collection of them that was written by a model which is nowhere to be had."""
    place = tmp_path_factory.mktemp("place").resolve()
    (place / "notes").mkdir()
    (place / "notes" / "a.txt").write_text("apples")
    name = f"{place.as_posix()}/notes/a.txt"
    metadata = {"path": "a.txt", "root": f"{place.as_posix()}/notes", "kind": "text"}
    with Collection(place / "index", HashingEncoder()) as collection:
        collection.add(["apples", "gone"], ids=[name, "other"], metadatas=[metadata, {}])
    return place


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("--version",),
        ("index", "--help"),
        ("info", "index"),
        ("verify", "index"),
        ("index", "notes", "--into", "index"),
        ("index", "notes", "--into", "index", "--prune", "--model", "testing/hashing"),
        ("index", "notes", "--into", "absent", "--dry-run"),
        ("delete", "index", "other"),
        ("compact", "index"),
        ("optimize", "index"),
        ("index-words", "index", "--tokenizer", "porter"),
        ("backup", "index", "copy"),
        ("models",),
    ],
    ids=" ".join,
)
def test_a_command_that_encodes_nothing_loads_no_model(place, arguments):
    done = subprocess.run(
        [sys.executable, "-c", CODE, *arguments], capture_output=True, text=True, cwd=place, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "loaded: []"


def test_new_metadata_of_an_unchanged_text_need_no_model(place):
    """The collection has no encoder, and none could be loaded."""
    with Collection.open(place / "index") as collection:
        name = collection.get()[0].id
        collection.add(["apples"], ids=[name], metadatas=[{"path": "b.txt"}])
        assert collection.get([name])[0].metadata == {"path": "b.txt"}
