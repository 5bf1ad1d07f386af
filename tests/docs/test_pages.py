"""What the documentation says is run: Python blocks, make targets, commands; and its links lead somewhere."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINKED = [
    *PAGES,
    *(
        ROOT / name
        for name in ("CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "benchmarks/README.md", "llms.txt")
    ),
]

# A block that cannot run by itself has the reason above it: <!-- not run: it needs a server -->
BLOCK = re.compile(r"(<!-- not run: .+ -->\n+)?```python\n(.*?)```", re.DOTALL)


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def program(text: str) -> str:
    """The blocks of a page or section, each of which goes on from the ones above it, at the lines where they stand."""
    lines = [""] * (text.count("\n") + 1)
    for block in BLOCK.finditer(text):
        if block[1] is None:
            first = text.count("\n", 0, block.start(2))
            code = block[2].splitlines()
            lines[first : first + len(code)] = code
    return "\n".join(lines)


def programs() -> dict[str, str]:
    """One program for each page, and for each section of the README."""
    found = {name(page): page.read_text(encoding="utf-8") for page in PAGES[1:]}
    found |= {f"README.md, {part.partition(chr(10))[0]}": part for part in README.split("\n## ")}
    return {title: code for title, text in found.items() if (code := program(text)).strip()}


PROGRAMS = programs()


@pytest.mark.parametrize("title", PROGRAMS)
def test_the_python_blocks_of_a_page_run(title, tmp_path, monkeypatch, minilm):
    code = PROGRAMS[title]
    needed = {"retrievers.langchain": "langchain_core", "retrievers.llama_index": "llama_index.core"}
    needed |= {
        "retrievers.qdrant": "qdrant_client",
        "retrievers.mcp": "mcp",
        "langchain_classic": "langchain_classic",
        "bm25s": "bm25s",
    }
    for part, module in needed.items():
        if part in code:
            pytest.importorskip(module, reason="no extra")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, title, "exec"), {"__name__": "page"})


def test_the_readme_has_a_program_for_each_framework():
    code = [text for title, text in PROGRAMS.items() if title.startswith("README.md")]
    assert any("retrievers.langchain" in one for one in code)
    assert any("retrievers.llama_index" in one for one in code)


def test_the_readme_is_short_and_has_one_picture():
    assert len(README.split()) <= 700
    assert len(re.findall(r"!\[", README)) == 1


def test_each_make_target_exists():
    makefile = (ROOT / "Makefile").read_text()
    named = set(re.findall(r"^make (\w+)", README, re.MULTILINE)) | set(re.findall(r"`make (\w+)`", README))
    assert {"demo", "test"} <= named
    for page in LINKED:
        named |= set(re.findall(r"^make (\w+)", page.read_text(encoding="utf-8"), re.MULTILINE))
    for target in named:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_each_command_is_understood():
    from retrievers.cli.main import _parser

    lines = []
    for page in PAGES:
        lines += re.findall(
            r"^(?:\.venv/bin/)?retrievers (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE
        )
    assert len(lines) >= 10
    for line in lines:
        _parser().parse_args(shlex.split(line, comments=True))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and MyST make them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", LINKED, ids=name)
def test_each_link_leads_to_a_file_and_a_heading(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        file, _, heading = target.partition("#")
        there = (page.parent / file).resolve() if file else page
        assert there.exists(), f"{name(page)} links to {target}"
        if heading:
            assert heading in anchors(there), f"{name(page)} links to {target}"


def test_the_messages_of_the_troubleshooting_page_are_the_library_s():
    source = "\n".join(file.read_text(encoding="utf-8") for file in (ROOT / "retrievers").rglob("*.py"))
    said = re.sub(r'"\s*\n\s*f?"', "", source)  # a message that goes on in the next line
    page = (ROOT / "docs" / "guides" / "troubleshooting.md").read_text(encoding="utf-8")
    messages = [
        text
        for title in re.findall(r"^## (.*)$", page, re.MULTILINE)
        for text in re.findall('"(.+?)"', title)
    ]
    assert len(messages) >= 10
    for message in messages:
        for part in message.split("…"):
            assert part.strip() in said, message


def test_every_page_stands_in_the_table_of_contents():
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    listed = [
        line for tree in re.findall(r"```{toctree}\n(.*?)```", index, re.DOTALL) for line in tree.splitlines()
    ]
    for page in [*(ROOT / "docs").rglob("*.md"), *(ROOT / "notebooks").glob("*.ipynb")]:
        if page.name != "index.md" and "_build" not in page.parts:
            inside = page.is_relative_to(ROOT / "docs")
            place = page.relative_to(ROOT / "docs") if inside else Path("..", page.relative_to(ROOT))
            assert place.with_suffix("").as_posix() in listed, f"docs/index.md does not list {place}"


def test_ci_calls_the_command_that_the_readme_gives():
    assert "make test" in (ROOT / ".ci" / "run").read_text()
