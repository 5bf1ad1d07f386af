"""The documentation site: `make docs` builds it from the whole repository, so that links are those of its files.

The source folder is the repository's root and `docs/index.md` the first page. Nothing is fetched and no notebook is
run: the tests run them and their outputs are kept in the files.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

# Imported as a program imports them: Sphinx would set typing.TYPE_CHECKING, which pydantic's models do not survive.
import retrievers.langchain
import retrievers.llama_index
import retrievers.mcp
import retrievers.qdrant  # noqa: F401
from retrievers import __version__

project = "maxsim-retrievers"
author = "the maxsim-retrievers contributors"
copyright = "the maxsim-retrievers contributors, Apache-2.0"
release = version = __version__

extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode", "myst_nb"]
root_doc = "docs/index"
include_patterns = [
    "docs/**",
    "notebooks/*.ipynb",
    "benchmarks/README.md",
    "benchmarks/results/*.md",
    "retrievers/store/FORMAT.md",
    "retrievers/kernels/README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
]
exclude_patterns = [
    ".*",
    "docs/_build",
    "docs/jupyter_execute",
    "dist",
    "tests",
    "**/.ipynb_checkpoints",
    "benchmarks/cache",
    "demo-index",
]

# Pages.
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence", "deflist"]
nb_execution_mode = "off"
nb_render_markdown_format = "myst"

# The reference of the API. Docstrings follow Google's sections; types stand in annotations alone.
default_role = "code"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_default_options = {"members": True, "show-inheritance": False}
python_use_unqualified_type_names = True
maximum_signature_line_length = 88

# Looks.
html_theme = "furo"
html_title = f"maxsim-retrievers {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_extra_path = ["_extra"]
html_copy_source = False
html_show_sourcelink = False
pygments_style = "friendly"
pygments_dark_style = "monokai"


def setup(app):
    """The directive `commands`: what each command prints for --help."""
    import argparse

    from docutils import nodes
    from sphinx.util.docutils import SphinxDirective

    from retrievers.cli.main import _parser

    class Commands(SphinxDirective):
        def run(self):
            found = []
            parser = _parser()
            [choices] = [
                action for action in parser._actions if isinstance(action, argparse._SubParsersAction)
            ]
            for name, command in choices.choices.items():
                section = nodes.section(ids=[nodes.make_id(f"command-{name}")])
                section += nodes.title(text=f"retrievers {name}")
                text = command.format_help()
                block = nodes.literal_block(text, text)
                block["language"] = "text"
                section += block
                found.append(section)
            return found

    app.add_directive("commands", Commands)
    return {"parallel_read_safe": True}
