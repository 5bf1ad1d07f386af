"""Without the extra, the message has the command that brings it."""

from __future__ import annotations

import subprocess
import sys

import pytest

COMMAND = 'pip install "maxsim-retrievers[langchain]"'

ABSENT = "import sys; sys.modules['langchain_core'] = None; import retrievers.langchain"
OLD = "import langchain_core.version as v; v.VERSION = '0.3.80'; import retrievers.langchain"


@pytest.mark.parametrize(("program", "seen"), [(ABSENT, "langchain-core 1.0"), (OLD, "0.3.80 is installed")])
def test_the_error_names_the_pip_command(program, seen):
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("retrievers.errors.MissingExtraError")
    assert COMMAND in last
    assert seen in last


def test_the_public_names_are_those_that_the_design_promises():
    import retrievers.langchain

    assert set(retrievers.langchain.__all__) == {
        "LateInteractionCrossEncoder",
        "LateInteractionReranker",
        "LateInteractionRetriever",
        "LateInteractionTranslator",
        "LateInteractionVectorStore",
        "PassageCompressor",
    }
