"""Without the extra, the message has the command that brings it; no key of anybody's service is asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

COMMAND = 'pip install "maxsim-retrievers[llama-index]"'

ABSENT = "import sys; sys.modules['llama_index'] = None; import retrievers.llama_index"
OLD = "import llama_index.core as c; c.__version__ = '0.13.6'; import retrievers.llama_index"


@pytest.mark.parametrize(
    ("program", "seen"), [(ABSENT, "llama-index-core 0.14"), (OLD, "0.13.6 is installed")]
)
def test_the_error_names_the_pip_command(program, seen):
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("retrievers.errors.MissingExtraError")
    assert COMMAND in last
    assert seen in last


def test_the_public_names_are_those_that_the_design_promises():
    import retrievers.llama_index

    assert set(retrievers.llama_index.__all__) == {
        "LateInteractionIndex",
        "LateInteractionRerank",
        "LateInteractionRetriever",
        "LateInteractionTransform",
        "LateInteractionVectorStore",
        "PassagePostprocessor",
        "citable_blocks",
        "citation_blocks",
    }
