"""Documents, questions and judgements from a directory in BEIR's form."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retrievers.errors import InvalidInputError
from retrievers.types import Document

TITLE_END = "\n"  # between a title and its text, so that a window may end there


@dataclass(frozen=True, slots=True)
class Benchmark:
    """Documents, and questions with the documents that answer them.

    Attributes:
        documents: with ids; a title is part of the text.
        queries: query id to question; only those with a relevant document.
        qrels: query id to document id to gain.
    """

    documents: tuple[Document, ...]
    queries: Mapping[str, str]
    qrels: Mapping[str, Mapping[str, int]]


def load(
    path: str | Path,
    *,
    queries: str | Path | None = None,
    qrels: str | Path | None = None,
    language: str | None = None,
    query_language: str | None = None,
) -> Benchmark:
    """Read a directory in BEIR's form.

    It has `corpus.jsonl` (lines with `_id`, `text` and perhaps `title`), `queries.jsonl` (`_id`, `text`) and
    the judgements `qrels/test.tsv` or `qrels.tsv` (query id, document id, gain; a first line without a number
    is a header). The first two may be gzipped (`.gz`), and each may exist for several languages (`corpus.de.jsonl`).

    Args:
        path: the directory, or its corpus file.
        queries: another file of questions.
        qrels: another file of judgements.
        language: which corpus file of several.
        query_language: which file of questions; None means the same language.
    Returns:
        The benchmark; documents and questions keep the order of the files.
    Raises:
        InvalidInputError: a file is missing or a line cannot be read (named with its number), a judgement
            names an unknown query, or no relevant document is in the corpus.
    """
    path = Path(path)
    directory = path if path.is_dir() else path.parent
    corpus = _find(directory, "corpus", language) if path.is_dir() else path
    asked = Path(queries) if queries else _find(directory, "queries", query_language or language)
    judged = _judgements(Path(qrels) if qrels else _find_qrels(directory))
    documents = tuple(_document(record, corpus, number) for number, record in records(corpus))
    texts = {_text(record, "_id", asked, n): _text(record, "text", asked, n) for n, record in records(asked)}
    relevant = {query: gains for query, gains in judged.items() if any(gain > 0 for gain in gains.values())}
    unknown = [query for query in relevant if query not in texts]
    if unknown:
        raise InvalidInputError(f"{len(unknown)} judged queries are not in {asked}, {unknown[0]!r} for one.")
    known = {document.id for document in documents}
    if not any(document in known for gains in relevant.values() for document in gains):
        raise InvalidInputError(
            f"no judged document is in {corpus}: corpus and judgements do not belong together."
        )
    return Benchmark(documents, {query: texts[query] for query in relevant}, relevant)


def _find(directory: Path, stem: str, language: str | None) -> Path:
    name = f"{stem}.{language}.jsonl" if language else f"{stem}.jsonl"
    for candidate in (directory / name, directory / f"{name}.gz"):
        if candidate.is_file():
            return candidate
    there = sorted(file.name for file in directory.glob(f"{stem}*"))
    raise InvalidInputError(
        f"{directory} has neither {name} nor {name}.gz"
        + (f", but {', '.join(there)}: choose one by its language or name the file." if there else ".")
    )


def _find_qrels(directory: Path) -> Path:
    for candidate in (directory / "qrels" / "test.tsv", directory / "qrels.tsv"):
        if candidate.is_file():
            return candidate
    raise InvalidInputError(
        f"{directory} has neither qrels/test.tsv nor qrels.tsv: name the file of judgements."
    )


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines with their number from 1; empty ones are left out."""
    if not path.is_file():
        raise InvalidInputError(f"{path} is no file.")
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        try:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, line.decode("utf-8").rstrip("\r\n")
        except (UnicodeDecodeError, gzip.BadGzipFile, EOFError) as error:
            raise InvalidInputError(f"{path} cannot be read as UTF-8 text: {error}") from error


def records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a file of JSON lines, gzipped or not, each with the number of its line.

    Raises:
        InvalidInputError: there is no such file, or a line is none.
    """
    for number, line in _lines(path):
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise InvalidInputError(f"{path}, line {number} is not JSON: {error}") from error
        if not isinstance(record, dict):
            raise InvalidInputError(f"{path}, line {number} is {line[:60]!r}: a JSON object is needed.")
        yield number, record


def _text(record: Mapping[str, Any], key: str, path: Path, number: int) -> str:
    value = record.get(key)
    if not isinstance(value, str):
        raise InvalidInputError(f"{path}, line {number}: {key!r} is {value!r}, a string is needed.")
    return value


def _document(record: Mapping[str, Any], path: Path, number: int) -> Document:
    text = _text(record, "text", path, number)
    title = record.get("title")
    return Document(f"{title}{TITLE_END}{text}" if title else text, _text(record, "_id", path, number))


def _judgements(path: Path) -> dict[str, dict[str, int]]:
    judged: dict[str, dict[str, int]] = {}
    for number, line in _lines(path):
        fields = line.split("\t")
        gain = fields[-1].strip()
        if number == 1 and not gain.lstrip("-").isdigit():
            continue
        if len(fields) != 3 or not gain.lstrip("-").isdigit():
            raise InvalidInputError(
                f"{path}, line {number} is {line[:60]!r}: query id, document id and a whole number "
                "are needed, separated by tabs."
            )
        judged.setdefault(fields[0], {})[fields[1]] = int(gain)
    return judged
