"""What the documentation says is run: Python blocks, make targets, commands, links to files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")

# A block goes on from the ones above it in its section, as a reader would.
SECTIONS = {
    section.partition("\n")[0]: "".join(re.findall(r"```python\n(.*?)```", section, re.DOTALL))
    for section in README.split("\n## ")[1:]
}
BLOCKS = [code for code in SECTIONS.values() if code]


@pytest.mark.parametrize("section", [name for name, code in SECTIONS.items() if code])
def test_the_python_blocks_of_each_section_run(section, tmp_path, monkeypatch, minilm):
    code = SECTIONS[section]
    for module in ("langchain", "llama_index"):
        if f"retrievers.{module}" in code:
            pytest.importorskip(
                f"{module}_core" if module == "langchain" else f"{module}.core", reason="no extra"
            )
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})


def test_the_readme_has_an_example_for_each_framework():
    assert len(BLOCKS) >= 3
    assert sum("retrievers.langchain" in block for block in BLOCKS) >= 1
    assert sum("retrievers.llama_index" in block for block in BLOCKS) >= 1


def test_each_make_target_exists():
    makefile = (ROOT / "Makefile").read_text()
    named = set(re.findall(r"^make (\w+)", README, re.MULTILINE)) | set(re.findall(r"`make (\w+)`", README))
    assert {"demo", "test"} <= named
    for target in named:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_each_command_is_understood():
    from retrievers.cli.main import _parser

    lines = re.findall(r"^\.venv/bin/retrievers (.*)$", README, re.MULTILINE)
    assert len(lines) >= 3
    import shlex

    for line in lines:
        _parser().parse_args(shlex.split(line, comments=True))


def test_each_linked_file_exists():
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_ci_calls_the_command_that_the_readme_gives():
    assert "make test" in (ROOT / ".ci" / "run").read_text()
