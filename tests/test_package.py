"""The public surface: what import costs, what it offers, and that the two agree."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest

import retrievers

HEAVY = (
    "torch",
    "numba",
    "llvmlite",
    "transformers",
    "sentence_transformers",
    "langchain_core",
    "llama_index",
    "numpy",
)


def run_python(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_import_loads_nothing_heavy():
    loaded = run_python(f"import sys, retrievers; print([m for m in {HEAVY!r} if m in sys.modules])")
    assert loaded == "[]"


def test_import_of_the_types_loads_no_model_and_no_framework():
    loaded = run_python(
        f"import sys, retrievers.types; print([m for m in {HEAVY[:-1]!r} if m in sys.modules])"
    )
    assert loaded == "[]"


def test_import_of_the_collection_loads_no_framework_and_no_torch():
    loaded = run_python(
        f"import sys, retrievers.collection; print([m for m in {HEAVY[:-1]!r} if m in sys.modules])"
    )
    assert loaded == "[]"


def test_every_public_name_can_be_had():
    assert sorted(retrievers.__all__) == [
        "Collection",
        "Document",
        "Encoder",
        "Evidence",
        "Hit",
        "Hits",
        "LateInteractionEncoder",
        "Match",
        "Window",
        "__version__",
    ]
    for name in retrievers.__all__:
        assert getattr(retrievers, name) is not None


PUBLIC = (
    "errors",
    "types",
    "filters",
    "citations",
    "langchain",
    "llama_index",
    "evaluate",
    "mcp",
    "qdrant",
    "ray",
    "testing",
)


@pytest.mark.parametrize("name", PUBLIC)
def test_each_public_module_can_be_imported_and_lists_its_names(name):
    """Other module paths are private: they may move from one version to the next."""
    module = import_module(f"retrievers.{name}")
    listed = vars(module).get("__all__", [name for name in vars(module) if name.endswith("Error")])
    assert listed
    for one in listed:
        assert getattr(module, one) is not None


def test_an_unknown_name_is_an_attribute_error():
    assert not hasattr(retrievers, "Index")


def test_every_error_is_ours_and_a_builtin():
    from retrievers import errors

    found = [
        value
        for value in vars(errors).values()
        if isinstance(value, type) and value is not errors.RetrieversError
    ]
    assert len(found) >= 12
    for error in found:
        assert issubclass(error, errors.RetrieversError)
        assert issubclass(
            error, (ValueError, TypeError, OSError, ImportError, MemoryError, NotImplementedError)
        ), error
