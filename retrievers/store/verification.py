"""The state of a collection: what is damaged, and how large it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from retrievers.encoder import identity
from retrievers.errors import CorruptStoreError, InvalidInputError
from retrievers.kernels.rows import MOST, RowForm, possible
from retrievers.store import documents, schema, token_counts, word_checks, words
from retrievers.store.columns import Columns
from retrievers.store.connection import Connection
from retrievers.store.snapshot import differing_documents, fits_totals, load_columns, spans_fit
from retrievers.store.tokens import Files, checksum, code_names, token_names
from retrievers.store.writer import bounded_paths


@dataclass(frozen=True, slots=True)
class Damage:
    """Something that is not as it was written.

    Attributes:
        file: name in the collection's directory.
        problem: what was seen.
        ids: the documents that it affects; empty where it cannot be said, or where none is lost.
    """

    file: str
    problem: str
    ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Info:
    """Counts and sizes of a collection.

    Attributes:
        model: name of the encoder.
        dim: length of a token vector.
        bits: of a number of the token rows, 8 or 4.
        documents: how many there are.
        windows: their windows.
        tokens: their token rows.
        bytes: of all files, dead rows included.
        dead_share: of the token rows, those of deleted and replaced documents, 0 to 1; compact frees them.
        generation: number of compactions, counted from 1.
        format_version: of the files.
        optimized: whether search can prune.
        words: the tokenizer of the index of words; None where there is no such index.
        words_weight: the share of words in a search that does not say it; None is a search without words.
        words_bytes: of the index of words.
        model_kind: where the model came from: "hub", "directory" or "package"; None where it is not known.
        model_commit: of a model from a hub; None for any other.
        documents_digest: of all that shapes the rows of documents, sha256, hexadecimal: an encoder with another one is
            refused. None for an encoder of the user's own, and in collections of earlier versions.
        document_options: what is in that digest, in words.
        questions_digest: of what shapes the rows of questions alone, which may change.
        question_options: what is in that digest, in words.
        counts_tokens: whether the tokens of documents are counted. Where they are not, the rows of a question are not
            weighted by idf, whatever the encoder asks for; `Collection.count_tokens` counts them.
        token_ids_bytes: what the tokens of all documents take, which deleting subtracts.
    """

    model: str
    dim: int
    bits: int
    documents: int
    windows: int
    tokens: int
    bytes: int
    dead_share: float
    generation: int
    format_version: int
    optimized: bool
    model_kind: str | None = None
    model_commit: str | None = None
    documents_digest: str | None = None
    document_options: str | None = None
    questions_digest: str | None = None
    question_options: str | None = None
    counts_tokens: bool = False
    token_ids_bytes: int = 0
    words: str | None = None
    words_weight: float | None = None
    words_bytes: int = 0

    def _repr_html_(self) -> str:
        """The values below one another, as a notebook draws them."""
        from retrievers.display.html import facts

        pairs = [
            ("model", f"{self.model}, {self.dim} dimensions"),
            ("documents", f"{self.documents:,}"),
            ("windows", f"{self.windows:,}"),
            ("tokens", f"{self.tokens:,}, {self.bits} bits a number"),
            ("size", f"{self.bytes / 1e6:,.1f} MB, {self.dead_share:.0%} of the token rows dead"),
            (
                "search",
                "optimised: it can skip windows" if self.optimized else "exact: it scores every window",
            ),
            *([("words", f"{self.words}, {self.words_bytes / 1e6:,.1f} MB")] if self.words else []),
            ("files", f"format {self.format_version}, generation {self.generation}"),
        ]
        return facts("Collection", pairs)


def info(connection: Connection, files: Files, fingerprint: Mapping[str, Any], form: RowForm) -> Info:
    """Counts and sizes as the last commit left them."""
    state = schema.read_state(connection)
    names = [*token_names(state.generation, form.bits), *(code_names(state.codes) if state.codes else ())]
    index = words.read(connection)
    [[pages]], [[page]] = connection.rows("PRAGMA page_count"), connection.rows("PRAGMA page_size")
    return Info(
        str(fingerprint.get("model")),
        form.dim,
        form.bits,
        state.documents,
        state.live_windows,
        state.live_tokens,
        sum(files.size(name) for name in names) + pages * page,
        1 - state.live_tokens / state.tokens if state.tokens else 0.0,
        state.generation,
        connection.format,
        bool(state.codes),
        model_kind=identity.where_from(fingerprint),
        model_commit=identity.commit_of(fingerprint),
        documents_digest=identity.digest_of(fingerprint, "documents"),
        document_options=identity.in_words(fingerprint, "documents"),
        questions_digest=identity.digest_of(fingerprint, "questions"),
        question_options=identity.in_words(fingerprint, "questions"),
        counts_tokens=token_counts.are_kept(connection),
        token_ids_bytes=token_counts.size(connection),
        words=None if index is None else index.tokenizer,
        words_weight=None if index is None else index.weight,
        words_bytes=word_checks.size(connection),
    )


def verify(
    connection: Connection, files: Files, form: RowForm, advance: Callable[[int], Any] = lambda count: None
) -> list[Damage]:
    """Compare all that is stored with its checksums.

    Args:
        connection: inside a transaction.
        form: of the token rows.
        advance: called with the number of windows that were compared.
    """
    found = list(_verify_catalogue(connection))
    try:
        state = schema.read_state(connection)
        columns = load_columns(connection, state)
    except CorruptStoreError as error:
        return [*found, Damage("catalog.sqlite", str(error))]
    known = dict(connection.rows("SELECT key, id FROM documents"))
    if len(known) != state.documents or not set(np.unique(columns.key).tolist()) <= set(known):
        found.append(
            Damage("catalog.sqlite", "documents are missing that were counted, or that windows name")
        )
    found += [Damage("catalog.sqlite", *problem) for problem in token_counts.check(connection, known)]
    found += _verify_windows(connection, state, columns, known)
    found += _verify_rows(files, form, state, columns, known, advance)
    found += _verify_codes(connection, files, form.dim, state)
    found += [Damage("catalog.sqlite", problem) for problem in word_checks.problems(connection, columns)]
    return found


def _verify_catalogue(connection: Connection) -> Iterator[Damage]:
    """SQLite's own check, then each document."""
    try:
        for (line,) in connection.rows("PRAGMA integrity_check"):
            if line != "ok":
                yield Damage("catalog.sqlite", str(line))
        rows = connection.rows("SELECT key, id FROM documents ORDER BY key")
        names = dict(connection.rows("SELECT path, name FROM paths"))
        fields: dict[int, dict[str, bytes]] = {}
        for path, key, value in connection.rows("SELECT path, key, value FROM fields"):
            fields.setdefault(key, {})[names.get(path, "")] = value
    except CorruptStoreError as error:
        yield Damage("catalog.sqlite", str(error))
        return
    for key, name in rows:
        try:
            document = documents.stored(connection, [key])[key]
            derived = bounded_paths(document.id, document.metadata)
        except (CorruptStoreError, InvalidInputError) as error:
            yield Damage("catalog.sqlite", str(error), (str(name),))
            continue
        if derived != fields.get(key, {}):
            yield Damage(
                "catalog.sqlite", "the fields that filters look at are not the metadata", (str(name),)
            )


def _verify_windows(
    connection: Connection, state: schema.State, columns: Columns, known: Mapping[int, str]
) -> Iterator[Damage]:
    """Each document's windows: how many, and that they lie inside of its text."""
    differing = differing_documents(connection, columns)
    if differing:
        names = tuple(sorted(str(known.get(key, "?")) for key in differing))
        yield Damage("catalog.sqlite", "documents have more or fewer windows than were counted", names)
    elif not fits_totals(columns, state):
        yield Damage("catalog.sqlite", "the totals of windows are wrong: compact counts them anew")
    for key in known:
        part = slice(*np.searchsorted(columns.key, [key, key + 1]))
        with suppress(CorruptStoreError):  # which was found before
            for document in documents.read(connection, [key]).values():
                if not spans_fit(columns.first[part], columns.last[part], document):
                    yield Damage("catalog.sqlite", "a window lies outside of its text", (str(document.id),))


def _verify_rows(
    files: Files,
    form: RowForm,
    state: schema.State,
    columns: Columns,
    known: Mapping[int, str],
    advance: Callable[[int], Any],
) -> Iterator[Damage]:
    """Each window's rows and scales, as far as the files go."""
    names = token_names(state.generation, form.bits)
    widths = (form.row_bytes, 4)
    there = [min(files.size(name) // width, state.tokens) for name, width in zip(names, widths, strict=True)]
    for name, count, width in zip(names, there, widths, strict=True):
        if count < state.tokens:
            lost = sorted({known.get(int(key), "?") for key in columns.key[columns.end > count]})
            yield Damage(
                name, f"{files.size(name)} bytes where {state.tokens * width} are named", tuple(lost)
            )
    try:
        rows = files.read(names[0], np.uint8, (there[0], form.row_bytes))
        scales = files.read(names[1], np.float32, (there[1],))
    except CorruptStoreError as error:
        yield Damage(" or ".join(names), str(error), tuple(sorted(known.values())))
        return
    damaged = set()
    for position in np.flatnonzero(columns.end <= min(there)):
        part = slice(columns.start[position], columns.end[position])
        if checksum(rows[part], scales[part]) != columns.checksum[position] or not possible(
            rows[part], scales[part], form.bits
        ):
            damaged.add(known.get(int(columns.key[position]), "?"))
        advance(1)
    if damaged:
        problem = f"token rows of {len(damaged)} documents do not fit their checksums"
        yield Damage(" or ".join(names), problem, tuple(sorted(damaged)))


def _verify_codes(connection: Connection, files: Files, dim: int, state: schema.State) -> Iterator[Damage]:
    """Codes and centroids; `optimize` writes them anew, so that no document is lost with them."""
    if not state.codes:
        return
    names = code_names(state.codes)
    try:
        codes = files.read(names[0], np.uint16, (state.tokens,))
        first = 0
        for batch, tokens, crc in connection.rows(
            "SELECT batch, tokens, codes_checksum FROM batches ORDER BY batch"
        ):
            if checksum(codes[first : first + tokens]) != crc:
                yield Damage(names[0], f"codes of batch {batch} do not fit their checksum: optimize again")
            first += tokens
        centroids = files.read(names[1], np.float32, (state.centroids, dim))
        if checksum(centroids) != state.centroids_checksum:
            yield Damage(names[1], "centroids do not fit their checksum: optimize again")
        elif not (np.abs(centroids) <= MOST).all():
            yield Damage(names[1], "centroids are none: optimize again")
    except CorruptStoreError as error:
        yield Damage(names[0], f"{error} (or optimize again)")
