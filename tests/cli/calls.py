"""The commands of `retrievers`, run in the process of the tests: one of their own takes seconds to import torch."""

from __future__ import annotations

import io
from contextlib import redirect_stderr, redirect_stdout
from typing import NamedTuple

from retrievers.cli.main import main


class Said(NamedTuple):
    """What a command wrote."""

    stdout: str
    stderr: str


def call(*arguments: object, code: int = 0) -> Said:
    """Run `retrievers ARGUMENTS…`, which must end with code."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            ended: object = main([str(argument) for argument in arguments])
        except SystemExit as left:  # the parser ends the process where it is called wrongly
            ended = left.code
    said = Said(out.getvalue(), err.getvalue())
    assert ended == code, said.stdout + said.stderr
    return said
