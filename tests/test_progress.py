"""Progress bars: where they are seen, and what they count."""

from __future__ import annotations

import io
import json
import re
import sqlite3
from contextlib import closing

import pytest

from retrievers import Collection
from retrievers.display import progress
from retrievers.evaluate.comparison import evaluate
from retrievers.testing import HashingEncoder


@pytest.fixture
def at_once(monkeypatch):
    monkeypatch.setattr(progress, "DELAY", 0.0)


@pytest.fixture
def collection():
    with Collection(None, HashingEncoder()) as collection:
        collection.add([f"word{number} of many" for number in range(20)], ids=[str(n) for n in range(20)])
        yield collection


def test_adding_counts_documents_and_tokens_a_second(at_once, collection, capsys):
    collection.add(["salt water"] * 3, show_progress=True)
    last = capsys.readouterr().err.rsplit("\r", 1)[-1]
    assert re.search(r"Indexing: 100%\|.*\| 3/3 documents \[.* documents/s, [\d,]+ tokens/s\]", last)


def test_care_counts_windows(at_once, collection, capsys):
    collection.verify(show_progress=True)
    assert "Verifying: 100%" in capsys.readouterr().err.rsplit("\r", 1)[-1]
    collection.delete(["3"])
    collection.compact(show_progress=True)
    last = capsys.readouterr().err.rsplit("\r", 1)[-1]
    assert "Compacting: 100%" in last
    assert "19/19 windows" in last


def test_a_bar_does_not_keep_damage_from_being_told(at_once, tmp_path):
    with Collection(tmp_path / "c", HashingEncoder()) as collection:
        collection.add(["salt"], ids=["a"])
        with closing(sqlite3.connect(tmp_path / "c" / "catalog.sqlite")) as catalogue, catalogue:
            catalogue.execute("UPDATE state SET live_tokens = tokens + 1")
        expected = collection.verify(show_progress=False)
        assert "contradicts itself" in expected[0].problem
        assert collection.verify(show_progress=True) == expected


def test_optimising_names_its_steps(at_once, collection, capsys):
    collection.optimize(show_progress=True)
    shown = capsys.readouterr().err
    assert "Centroids: 100%" in shown
    assert "Codes: 100%" in shown


def test_evaluation_counts_questions(at_once, collection, capsys):
    pytest.importorskip("ir_measures", reason='needs pip install "maxsim-retrievers[eval]"')
    evaluate(collection, {"q": "word1", "r": "word2"}, {"q": {"1": 1}, "r": {"2": 1}}, show_progress=True)
    assert "2/2 questions" in capsys.readouterr().err.rsplit("\r", 1)[-1]


def test_no_bar_where_nobody_looks(at_once, collection, capsys):
    collection.add(["salt"])
    collection.verify()
    collection.compact(show_progress=False)
    collection.optimize()
    assert capsys.readouterr().err == ""


def test_short_work_shows_no_bar(collection, capsys):
    collection.add(["salt"], show_progress=True)
    assert "documents/s" not in capsys.readouterr().err


def test_a_terminal_sees_the_bar(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr("sys.stderr", Terminal())
    assert progress.wanted(None)
    assert not progress.wanted(False)
    monkeypatch.setattr("sys.stderr", None)  # pythonw, and services of Windows
    assert not progress.wanted(None)


def test_a_notebook_sees_the_bar_though_its_standard_error_is_no_terminal():
    nbclient = pytest.importorskip("nbclient", reason='needs pip install "maxsim-retrievers[notebooks]"')
    nbformat = pytest.importorskip("nbformat", reason="needs nbformat")
    cell = nbformat.v4.new_code_cell(
        "from retrievers.display import progress\n"
        "progress.DELAY = 0.0\n"
        "with progress.Progress(3, 'Indexing', 'documents') as bar:\n"
        "    bar.advance(3, tokens=30)\n"
    )
    notebook = nbformat.v4.new_notebook(cells=[cell])
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    # With ipywidgets the bar is in the state of a widget, its spaces as wide as digits.
    shown = " ".join(json.dumps(notebook, ensure_ascii=False).replace("\u2007", " ").split())
    assert "Indexing" in shown
    assert "3/3 documents" in shown
    assert "tokens/s" in shown
    assert "Warning" not in shown
