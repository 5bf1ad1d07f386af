"""The worked example of the kernels' README runs as it stands."""

import re
from pathlib import Path

import pytest

from retrievers import kernels

PAGE = Path(kernels.__file__).with_name("README.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def test_the_blocks_run_one_after_another_and_what_they_assert_is_so():
    assert len(BLOCKS) == 6
    names = {}
    for number, block in enumerate(BLOCKS):
        exec(compile(block, f"README.md, block {number}", "exec"), names)
    assert callable(names["call"])
    assert names["agrees"](names["large"])


def test_running_code_is_six_lines_away_from_its_description():
    [block] = [block for block in BLOCKS if "emit_object" in block]
    lines = [line for line in block.splitlines() if line and not line.startswith(("import", "from"))]
    assert len(lines) == 6


def test_the_example_is_the_portable_target():
    names = {}
    for block in BLOCKS[:4]:
        exec(block, names)
    mine, portable = names["mine"], names["targets"].TARGETS["portable"]
    for attribute in ("architecture", "needs", "cpu", "features", "lanes", "tiles", "matrix_tiles"):
        assert getattr(mine, attribute) == getattr(portable, attribute)
    assert type(mine.arithmetic) is type(portable.arithmetic)


@pytest.mark.parametrize("path", re.findall(r"`((?:tests/[\w/]+|\w+)\.py)`", PAGE))
def test_the_files_that_the_page_names_exist(path):
    folder = Path(__file__).parents[2] if "/" in path else Path(kernels.__file__).parent
    assert (folder / path).is_file()
