"""What encodes nothing loads no model: neither torch nor what stands on it is imported."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from retrievers import Collection
from retrievers.testing import HashingEncoder

HEAVY = ("torch", "transformers", "sentence_transformers", "langchain_core", "llama_index")
COMMANDS = (
    "--help",
    "--version",
    "index --help",
    "info index",
    "verify index",
    "search empty question",
    "index notes --into index",
    "index notes --into index --prune --model testing/hashing",
    "index notes --into absent --dry-run",
    "delete index other",
    "compact index",
    "optimize index",
    "index-words index --tokenizer porter",
    "backup index copy",
    "convert index --bits 4 --to four",
    "models",
)
# Every command in one process: what one of them loads, the next ones would have, too.
RUN = f"""
import contextlib, io, json, sys
from retrievers.cli.main import main
for command in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            status = main(command.split())
        except SystemExit as error:
            status = error.code
    print(json.dumps([command, status, [name for name in {HEAVY!r} if name in sys.modules]]))
"""
CALLS = f"""
import sys
from retrievers import Collection
with Collection.open("index") as collection:
    [found] = collection.get([sys.argv[1]])
    collection.add([found.text], ids=[found.id], metadatas=[found.metadata])
    collection.delete(["absent"])
    collection.verify()
    collection.search("")
with Collection.open("empty") as collection:
    assert collection.search("a question") == []
print([name for name in {HEAVY!r} if name in sys.modules])
"""
SEARCH = """
import sys
from retrievers.cli.main import main
status = main(["search", "offline", "fruit", "-k", "1", "--explain"])
print("sentence_transformers" in sys.modules, "torch" in sys.modules)
raise SystemExit(status)
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with notes, and collections of them that were written by a model which is nowhere to be had."""
    place = tmp_path_factory.mktemp("place").resolve()
    (place / "notes").mkdir()
    (place / "notes" / "a.txt").write_text("apples")
    metadata = {"path": "a.txt", "root": f"{place.as_posix()}/notes", "kind": "text"}
    with Collection(place / "index", HashingEncoder()) as collection:
        collection.add(["apples", "gone"], ids=[_name(place), "other"], metadatas=[metadata, {}])
    Collection(place / "empty", HashingEncoder()).close()
    return place


def _name(place):
    return f"{place.as_posix()}/notes/a.txt"


def _python(code, place, *arguments):
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=place, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_commands_that_encode_nothing_load_no_model(place):
    done = [json.loads(line) for line in _python(RUN, place, json.dumps(COMMANDS))]
    assert done == [[command, 0, []] for command in COMMANDS]


def test_calls_that_encode_nothing_load_no_model(place):
    assert _python(CALLS, place, _name(place)) == ["[]"]


def test_an_offline_model_is_searched_with_without_sentence_transformers(place, minilm):
    with Collection(place / "offline", minilm) as collection:
        collection.add(["apples and pears", "a railway"], ids=["fruit", "railway"])
    *_, loaded = _python(SEARCH, place)
    assert loaded == "False True"


def test_new_metadata_of_an_unchanged_text_need_no_model(place):
    """The collection has no encoder, and none could be loaded."""
    with Collection.open(place / "index") as collection:
        name = collection.get()[0].id
        collection.add(["apples"], ids=[name], metadatas=[{"path": "b.txt"}])
        assert collection.get([name])[0].metadata == {"path": "b.txt"}
