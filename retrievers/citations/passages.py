"""Documents, nodes and hits as numbered passages, each with its source, its title and its place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, SupportsIndex, overload

from retrievers.arguments import each, shown
from retrievers.errors import InvalidTypeError
from retrievers.types import Document, Hit

SOURCE_KEYS = ("source", "url", "file_path", "path", "file_name")
"""Metadata keys that loaders of both frameworks put a document's origin under, the most telling first."""

TITLE_KEYS = ("title", "file_name")
LEAST_OVERLAP = 16  # characters that a text and a passage have in common, where one was cut through
SPAN_KEY = "passage_span"  # of PassageCompressor


@dataclass(frozen=True, slots=True)
class Citation:
    """A passage that an answer may cite.

    Places count the characters of the source, where the document or node says where it was cut from it
    (`start_char_idx` of a node, `start_index` or `passage_span` in metadata), and else those of its own text:
    `document[start - offset : end - offset] == text`.

    Attributes:
        number: what the prompt calls it, from 1.
        text: the passage, as a language model is given it.
        start: offset of its first character.
        end: offset after its last one.
        source: where it comes from: a URL, a path, else the id of the document.
        title: what a person calls it.
        id: of the document or node; None where it has none.
        document: the whole text that the passage is part of; a quote may stand anywhere in it.
        offset: offset of the first character of document.
    """

    number: int
    text: str
    start: int
    end: int
    source: str
    title: str
    id: str | None
    document: str = field(repr=False)
    offset: int

    def prompt(self) -> str:
        """The passage below a line with its number, title, source and place."""
        title, source = (" ".join(text.split()) for text in (self.title, self.source))
        named = title if title == source else f"{title} ({source})"
        return f"[{self.number}] {named}, characters {self.start} to {self.end}\n{self.text}"


class Citations(list[Citation]):
    """The citations of one prompt: a list, whose slices keep their numbers."""

    @overload
    def __getitem__(self, place: SupportsIndex, /) -> Citation: ...
    @overload
    def __getitem__(self, place: slice, /) -> Citations: ...
    def __getitem__(self, place: SupportsIndex | slice, /) -> Citation | Citations:
        found = super().__getitem__(place)
        return Citations(found) if isinstance(place, slice) else found  # type: ignore[return-value, arg-type]

    def prompt(self) -> str:
        """All of them for a prompt, with an empty line between two. The passages are whatever their authors wrote."""
        return "\n\n".join(one.prompt() for one in self)


def citations(documents: Iterable[Any], *, evidence_key: str = "evidence") -> Citations:
    """Passages with numbers, in the order given.

    The passage of a document with evidence in its metadata is the window that was found, that of a hit its best
    window, and that of any other its whole text.

    Args:
        documents: LangChain's documents, LlamaIndex's nodes with scores or without, hits or Documents; also the source
            nodes of an answer of CitationQueryEngine, whose numbers are the same.
        evidence_key: where a retriever or reranker with evidence_key= has put the evidence.
    Raises:
        InvalidTypeError: one is something else.
    """
    found = each(documents, "documents", "passage")
    return Citations(_citation(number, one, evidence_key) for number, one in enumerate(found, 1))


@dataclass(frozen=True, slots=True)
class _Given:
    """What citations need of a document.

    Attributes:
        passage: text, start and end of what was found, in the text before it was cut; None where nobody knows.
        offset: of the text in what it was cut from; None where nobody knows.
        cut_from: the id of the document that it was cut from.
    """

    text: str
    id: str | None
    metadata: Mapping[str, Any]
    passage: tuple[str, int, int] | None
    offset: int | None = None
    cut_from: str | None = None


def _citation(number: int, document: Any, evidence_key: str) -> Citation:
    given = _given(number, document, evidence_key)
    text, offset = given.text, given.offset
    first, last = 0, len(text)
    if given.passage is not None:
        passage, start, end = given.passage
        # Somebody may have cut the text down after it was searched.
        place = start if text[start:end] == passage else _place(passage, text)
        if place is not None:
            first, last = max(place, 0), min(place + len(passage), len(text))
            offset = start - place if offset is None else offset
    offset = offset or 0
    source = _named(given.metadata, SOURCE_KEYS) or given.cut_from or given.id or f"passage {number}"
    title = _named(given.metadata, TITLE_KEYS) or source.rstrip("/\\").replace("\\", "/").rpartition("/")[2]
    return Citation(
        number,
        text[first:last],
        first + offset,
        last + offset,
        source,
        title or source,
        given.id,
        text,
        offset,
    )


def _given(number: int, document: Any, evidence_key: str) -> _Given:
    if isinstance(document, Hit):
        window = document.passage
        passage = None if window is None else (window.text, window.start, window.end)
        return _Given(document.text, document.id, document.metadata, passage)
    if isinstance(document, Document):
        return _Given(document.text, document.id, document.metadata, None)
    node = getattr(document, "node", document)  # of LlamaIndex's NodeWithScore
    if hasattr(node, "page_content"):
        metadata = node.metadata
        passage, offset = _passage(metadata, evidence_key), _offset(metadata, len(node.page_content))
        return _Given(node.page_content, node.id, metadata, passage, offset)
    if hasattr(node, "get_content") and hasattr(node, "node_id"):
        text = node.get_content(metadata_mode="none")
        if text.startswith(label := f"Source {number}:\n"):  # of CitationQueryEngine
            text = text.removeprefix(label).removesuffix("\n")
        passage, offset = _passage(node.metadata, evidence_key), getattr(node, "start_char_idx", None)
        return _Given(text, node.node_id, node.metadata, passage, offset, node.ref_doc_id)
    raise InvalidTypeError(
        f"document {number - 1} is {shown(document)} of type {type(document).__name__}: a document of LangChain, a "
        "node of LlamaIndex, a Hit or a Document is needed."
    )


def _passage(metadata: Mapping[str, Any], evidence_key: str) -> tuple[str, int, int] | None:
    """The passage that evidence in metadata tells of; None where there is none, or it is something else."""
    told = metadata.get(evidence_key)
    passage = told.get("passage") if isinstance(told, Mapping) else None
    if not isinstance(passage, Mapping):
        return None
    text, start, end = (passage.get(name) for name in ("text", "start", "end"))
    if not isinstance(text, str) or not isinstance(start, int) or not isinstance(end, int):
        return None
    return (text, start, end) if 0 <= start < end and end - start == len(text) else None


def _offset(metadata: Mapping[str, Any], length: int) -> int | None:
    """Where LangChain's splitters and PassageCompressor say that a text was cut from."""
    index, span = metadata.get("start_index"), metadata.get(SPAN_KEY)
    cut = [index] if isinstance(index, int) and index >= 0 else []
    match span:
        case [int(start), int(end)] if end - start == length:
            cut.append(start)
    return sum(cut) if cut else None


def _place(passage: str, text: str) -> int | None:
    """Where a passage begins in a text that has all of it or a part of it; None where nobody can tell.

    It is negative where the text begins inside of the passage.
    """
    bare = text.strip()
    if text.count(passage) == 1:
        return text.index(passage)
    if bare and passage.count(bare) == 1:
        return len(text) - len(text.lstrip()) - passage.index(bare)
    sizes = range(LEAST_OVERLAP, min(len(text), len(passage)))
    found = [len(text) - size for size in sizes if text.endswith(passage[:size])]
    found += [size - len(passage) for size in sizes if passage.endswith(text[:size])]
    return found[0] if len(found) == 1 else None


def _named(metadata: Mapping[str, Any], keys: Iterable[str]) -> str:
    for key in keys:
        value = metadata.get(key)
        if isinstance(value, str | int | float) and str(value).strip():
            return str(value)
    return ""
