"""The assembler that docstrings and the README show is what LLVM gives, whatever registers it takes this time."""

import ast
import re
import textwrap
from functools import cache, partial
from pathlib import Path

import pytest

from retrievers import kernels
from retrievers.kernels import centroid_scan, codes, compile, lists, scan, targets

FOLDER = Path(kernels.__file__).parent
SHOWN = re.compile(r"\((\w+)(?:,\s(\w+))?\)::\n\n((?:(?: {4}.*)?(?:\n|$))+)")
ARCHITECTURES = {"x86_64": "x86_64-unknown-linux-gnu", "aarch64": "aarch64-unknown-linux-gnu"}
GENERATORS = (
    *("ir", "task", "arithmetic", "narrow", "products", "amx", "look_ahead", "unpack", "lanes", "scan"),
    *("arm", "centroid_scan", "codes", "lists"),
)


@cache
def instructions(name, architecture):
    """The different instructions of all kernels of a target, for rows of 128 numbers of 8 and of 4 bits."""
    target = targets.TARGETS[name]
    triple = ARCHITECTURES[architecture or target.architecture]
    makes = (
        partial(scan.module, target, 128),
        partial(scan.module, target, 64, bits=4),
        partial(centroid_scan.module, target, 128),
        codes.module,
        lists.module,
    )
    return {shape(line) for make in makes for line in compile.assembler(make, target, triple).splitlines()}


def shape(line):
    """An instruction without its comment, and without the registers, numbers and labels that LLVM chose."""
    line = re.split(r"\s(?:#|//)\s", line)[0]
    line = re.sub(r"%([xyzt]mm)\d+", r"%\1", line)
    line = re.sub(r"%(?![xyzt]mm)\w+", "%r", line)
    line = re.sub(r"\b([vqxw])\d+\b", r"\1", line)
    line = re.sub(r"\.L\w+", ".L", line)
    line = re.sub(r"-?\b\d+\b", "n", line)
    return " ".join(line.replace("n(", "(").split())


def pages():
    """Every docstring of the package, and the README, with where it stands."""
    for file in sorted(FOLDER.glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
                yield f"{file.stem}.{getattr(node, 'name', '')}", ast.get_docstring(node)
    page = (FOLDER / "README.md").read_text()
    for intro, block in re.findall(r"(\(\w+\)):\n\n```asm\n(.*?)```", page, re.DOTALL):
        yield "README", f"{intro}::\n\n{textwrap.indent(block, '    ')}"


def shown():
    return [
        pytest.param(name, architecture, line.strip(), id=f"{place}: {line.strip()}")
        for place, page in pages()
        for name, architecture, block in SHOWN.findall(page)
        for line in block.splitlines()
        if line.strip()
    ]


@pytest.mark.parametrize(("name", "architecture", "line"), shown())
def test_an_instruction_that_is_shown_is_among_those_of_its_target(name, architecture, line):
    assert shape(line) in instructions(name, architecture)


@pytest.mark.parametrize("name", GENERATORS)
def test_every_function_that_writes_code_shows_some(name):
    """Whatever takes or keeps the builder writes instructions."""
    tree = ast.parse((FOLDER / f"{name}.py").read_text())
    silent = []
    for owner in (tree, *(node for node in ast.walk(tree) if isinstance(node, ast.ClassDef))):
        for function in ast.iter_child_nodes(owner):
            if isinstance(function, ast.FunctionDef) and writes(function):
                texts = [ast.get_docstring(node) for node in (function, owner) if can_have(node)]
                if not any(text and ("::" in text or "no instruction" in text.lower()) for text in texts):
                    silent.append(function.name)
    assert silent == []


def can_have(node):
    return isinstance(node, ast.FunctionDef | ast.ClassDef)


def writes(function):
    """Whether a function uses an IRBuilder: `b`, or that of its object."""
    names = {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}
    attributes = {node.attr for node in ast.walk(function) if isinstance(node, ast.Attribute)}
    return function.name != "__init__" and ("b" in names or bool({"b", "_b"} & attributes))
