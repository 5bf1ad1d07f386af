"""A user's own files as documents: text, Markdown and HTML, found recursively."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

from retrievers.errors import InvalidInputError
from retrievers.types import Document

KINDS = {
    ".txt": "text",
    ".text": "text",
    ".rst": "text",
    ".md": "markdown",
    ".markdown": "markdown",
    ".html": "html",
    ".htm": "html",
}


def read(path: Path) -> tuple[list[Document], list[str]]:
    """The documents below a path, and the files that could not be read.

    A document's id is its file's path relative to the given one, with forward slashes; a Markdown file is
    taken as it is; of an HTML file the text that a browser shows.

    Args:
        path: a directory, or one file of a known kind.
    Returns:
        documents: sorted by id.
        skipped: a line for each file that is not UTF-8, or that may not be read.
    Raises:
        InvalidInputError: nothing lies at the path, or no file of a known kind.
    """
    if not path.exists():
        raise InvalidInputError(f"nothing lies at {str(path)!r}: give a directory or a file.")
    files = [path] if path.is_file() else sorted(_walk(path))
    root = path.parent if path.is_file() else path
    documents, skipped = [], []
    for file in files:
        kind = KINDS.get(file.suffix.lower())
        if kind is None:
            continue
        name = file.relative_to(root).as_posix()
        try:
            text = file.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            skipped.append(f"{name}: not UTF-8 at byte {error.start}")
            continue
        except OSError as error:
            skipped.append(f"{name}: {error.strerror}")
            continue
        body = html_text(text) if kind == "html" else text
        documents.append(Document(body, name, {"path": name, "kind": kind}))
    if not documents and not skipped:
        raise InvalidInputError(f"no file below {str(path)!r} ends in one of {', '.join(sorted(KINDS))}.")
    return documents, skipped


def _walk(directory: Path) -> Iterator[Path]:
    """Files below a directory, without hidden ones and links to directories, which can be circular."""
    for entry in directory.iterdir():
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            if not entry.is_symlink():
                yield from _walk(entry)
        elif entry.is_file():
            yield entry


def html_text(source: str) -> str:
    """The text of an HTML page: blocks on lines of their own, without scripts, styles and the head."""
    parser = _Text()
    parser.feed(source)
    parser.close()
    lines = (" ".join(line.split()) for line in "".join(parser.parts).splitlines())
    return "\n".join(line for line in lines if line)


class _Text(HTMLParser):
    HIDDEN = frozenset({"script", "style", "head", "template", "noscript"})
    BLOCKS = frozenset(
        {"address", "article", "aside", "blockquote", "br", "caption", "dd", "div", "dl", "dt", "figcaption"}
        | {
            "figure",
            "footer",
            "form",
            "h1",
            "h2",
            "h3",
            "h4",
            "h5",
            "h6",
            "header",
            "hr",
            "li",
            "main",
            "nav",
        }
        | {"ol", "option", "p", "pre", "section", "table", "td", "th", "title", "tr", "ul"}
    )

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.hidden: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "body":
            self.hidden.clear()  # a page may leave out </head>
        elif tag in self.HIDDEN:
            self.hidden.append(tag)
        elif tag in self.BLOCKS:
            self.parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in self.hidden:
            del self.hidden[self.hidden.index(tag) :]
        elif tag in self.BLOCKS:
            self.parts.append("\n")

    def handle_data(self, data: str) -> None:
        if not self.hidden:
            self.parts.append(" ".join(data.split("\n")))
