"""The notebooks of both frameworks over a collection on Qdrant: nothing changes but how the collection is made."""

from __future__ import annotations

import ast
import asyncio
import inspect
import shutil
from pathlib import Path

import pytest

from retrievers.qdrant import QdrantCollection

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
MODEL = 'LateInteractionEncoder("offline/minilm")'
CASES = {
    "01_rag_with_langchain": ('path="travel-rules", encoder=encoder', "store"),
    "02_rag_with_llamaindex": ('path="mountain-hut", encoder=encoder', "index"),
}


@pytest.mark.parametrize("name", CASES)
def test_a_notebook_runs_unchanged_but_for_the_constructor(name, minilm, tmp_path, monkeypatch):
    nbformat = pytest.importorskip("nbformat")
    constructor, variable = CASES[name]
    cells = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4).cells
    source = [cell.source for cell in cells if cell.cell_type == "code"]
    assert sum(constructor in one for one in source) == 1
    assert sum(MODEL in one for one in source) == 1
    names = {"encoder_of_tests": minilm, "QdrantCollection": QdrantCollection}
    shutil.copytree(NOTEBOOKS / "data", tmp_path / "data")
    monkeypatch.chdir(tmp_path)

    async def run():
        for cell in source:
            # The model that is loaded already.
            cell = cell.replace(MODEL, "encoder_of_tests")
            cell = cell.replace(constructor, 'collection=QdrantCollection(":memory:", "notebook", encoder)')
            code = compile(cell, name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            waiting = eval(code, names)
            if inspect.isawaitable(waiting):
                await waiting

    asyncio.run(run())
    assert isinstance(names[variable].collection, QdrantCollection)
    assert len(names[variable].collection) > 5
