"""The examples run as they are: without arguments, in an empty folder, without a network."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SAYS = {  # what each prints, and what it needs
    "langchain_rag": ("found in roof", "langchain_core"),
    "llamaindex_rag": ("roof", "llama_index.core"),
    "without_a_framework": ("stove", "numpy"),
    "rerank_anything": ("LangChain", "llama_index.core"),
    "evaluate_your_questions": ("late interaction", "bm25s"),
}


@pytest.mark.parametrize("name", SAYS)
def test_an_example_runs_as_it_is(name, tmp_path, monkeypatch, capsys, minilm):
    says, module = SAYS[name]
    pytest.importorskip(module, reason="no extra")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [name])
    runpy.run_path(str(ROOT / "examples" / f"{name}.py"), run_name="__main__")
    assert says in capsys.readouterr().out


def test_an_example_takes_a_folder_and_a_question(tmp_path, monkeypatch, capsys, minilm):
    pytest.importorskip("langchain_core", reason="no extra")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "cat.md").write_text("The cat is fed at seven.", encoding="utf-8")
    (tmp_path / "notes" / "car.txt").write_text("The car is washed in spring.", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["langchain_rag", "notes", "When does the pet eat?"])
    runpy.run_path(str(ROOT / "examples" / "langchain_rag.py"), run_name="__main__")
    assert "found in cat.md" in capsys.readouterr().out
