"""Damage that no checksum shows: a value is changed and every checksum that covers it is made to fit.

    python -m tests.fuzz.consistent --count 5000

Only what a value means can tell that it is wrong. Each round copies a sound collection, changes one value of the
catalogue or of a file of rows, and then reads, searches, changes and compacts. What is wanted: no crash, no hang, no
unnamed error; documents that were not touched stay as they were and have the scores that they had; a change by a
damaged field never meets another document; what could be read before a change can be read after it.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import sqlite3
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from retrievers import Collection
from retrievers.errors import RetrieversError
from retrievers.store.document_rows import extras_checksum, text_checksum
from retrievers.store.snapshot import WINDOW
from retrievers.store.token_counts import ids_checksum, packed
from retrievers.types import Document
from tests.fuzz.children import in_children

# ruff: noqa: S608
SECONDS = 2  # of processor time for one call
QUERIES = ("sun moon", "tree river sky")
WORDS = ["sun", "moon", "star", "sky", "sea", "river", "stone", "tree", "hill", "rain"]
JSONS = (
    "[]",
    "null",
    "3",
    "",
    "{",
    '{"n": NaN}',
    '{"n": Infinity, "lang": "en"}',
    '{"n": 1e999}',
    '{"n": -1e999, "tags": [1e999]}',
    '{"n": ' + "9" * 4000 + "}",
    '{"n": ' + "9" * 5000 + "}",
    '{"n": 1e-400}',
    '{"n": [' + "9" * 4000 + "]}",
    '{"n": "\\ud800"}',
    '{"\\ud800": 1, "n": 2}',
    '{"n": ["\\udfff"]}',
    '{"n": ' + "[" * 90 + "]" * 90 + "}",
    '{"n": ' + "[" * 300 + "]" * 300 + "}",
    '{"n": ' + "[" * 900 + "]" * 900 + "}",
    '{"n": ' + "[" * 100_000 + "]" * 100_000 + "}",
    '{"n": ' * 300 + "1" + "}" * 300,
    '{"n": ' * 900 + "1" + "}" * 900,
    '{"n": ' * 20_000 + "1" + "}" * 20_000,
    '{"' + "a" * 1000 + '": ' + '{"b": ' * 90 + "1" + "}" * 91,
    "{" + ", ".join(f'"k{number}": {number}' for number in range(20_000)) + "}",
    "{" + f'"{"p" * 60_000}": ' + "{" + ", ".join(f'"k{n}": 1' for n in range(9000)) + "}}",
    '{"n": 1, "n": 2}',
    '{"a.b": 1, "a": {"b": 2}}',
    '{"lang": {"n": []}, "n": [], "tags": {}}',
    '{"n": true, "lang": 5, "tags": "1"}',
    '{"n": "\\u0000", "lang": "\\u202e\\u001b[2J"}',
)
NUMBERS = (-1, 0, 1, 2, 3, 7, 1000, 1 << 31, 1 << 40, (1 << 62) - 1, (1 << 62) + 1, (1 << 63) - 1, -(1 << 63))
ODD = (
    *NUMBERS,
    0.5,
    float("inf"),
    "x",
    "",
    "\x00",
    "\u202e",
    b"",
    b"x",
    b"\xff\xfe",
    "9" * 400,
    "x" * 100_000,
)
FLOATS = (np.nan, np.inf, -np.inf, -1.0, 0.0, 1e38, 1e-45, 3e38, 1e9)
FILTERS: tuple[dict[str, Any], ...] = (
    {"n": 5},
    {"n": {"$gte": 4}},
    {"lang": "en"},
    {"tags": 1},
    {"tags": {"$contains": 1}},
    {"lang": {"$text_match": "e"}},
    {"lang": {"$text_match_insensitive": "E"}},
    {"n": {"$nin": [1, 2]}},
    {"deep.er": {"$ne": 1}},
    {"deep.er": {"$lt": 2}},
    {"n": {"$is_empty": True}},
)


def build(directory: Path) -> list[Path]:
    """Sound collections: one plain, one with codes and dead rows, one compacted, one of 4 bits."""
    from tests.fuzz.mutate import ENCODER, WEIGHING

    paths = []
    for name in ("plain", "optimized", "compacted", "four bits"):
        rng = random.Random(name)
        words = None if name == "plain" else "unicode61"
        encoder = ENCODER if name == "plain" else WEIGHING  # which counts the tokens of the documents
        bits = 4 if name == "four bits" else 8
        collection = Collection(directory / name, encoder, indexed=["n"], words=words, bits=bits)
        for batch in range(4):
            documents = []
            for number in range(7):
                metadata: dict[str, Any] = {
                    "n": number,
                    "lang": rng.choice(["en", "de"]),
                    "tags": [number % 3],
                }
                if number % 2:
                    metadata["deep"] = {"er": number % 4}
                text = " ".join(rng.choices(WORDS, k=rng.randrange(1, 14)))
                more = {"source": f"s{number % 3}", "attachment": {"order": number}} if batch % 2 else {}
                documents.append(
                    Document(text, f"d{batch * 5 + number}", metadata, "sky" * (number % 2), **more)
                )
            collection.add(documents, show_progress=False)
            if batch == 1 and name != "plain":
                collection.optimize(show_progress=False)
        if name == "compacted":
            collection.compact()
        collection.close()
        paths.append(directory / name)
    return paths


@dataclass(slots=True)
class Damage:
    """What was done to a copy.

    Attributes:
        what: in words.
        touched: ids of the documents that it may have changed; None for all, where each answer may be a refusal.
    """

    what: str
    touched: set[str] | None = field(default_factory=set)


class Catalogue:
    """The catalogue of a copy, opened to be damaged."""

    def __init__(self, path: Path, rng: random.Random) -> None:
        self.path, self.rng = path, rng
        self.sql = sqlite3.connect(path / "catalog.sqlite", isolation_level=None)

    def rows(self, statement: str, *values: Any) -> list[Any]:
        return self.sql.execute(statement, values).fetchall()

    def document(self) -> tuple[int, str]:
        return self.rng.choice(self.rows("SELECT key, id FROM documents"))

    def state(self, column: str) -> int:
        [[value]] = self.rows(f"SELECT {column} FROM state")
        return int(value)

    def windows(self) -> tuple[int, np.ndarray]:
        """A batch that has windows, and a copy of them."""
        batch, blob = self.rng.choice(
            self.rows("SELECT batch, windows FROM batches WHERE length(windows) > 0")
        )
        return batch, np.frombuffer(blob, WINDOW).copy()

    def put_windows(self, batch: int, windows: np.ndarray) -> None:
        blob = windows.tobytes()
        self.rows(
            "UPDATE batches SET windows = ?, checksum = ? WHERE batch = ?", blob, zlib.crc32(blob), batch
        )

    def names(self, keys: set[int]) -> set[str]:
        return {name for key, name in self.rows("SELECT key, id FROM documents") if key in keys}


def odd(rng: random.Random, value: Any = None) -> Any:
    """A value in the place of another: a hostile one, or for a number also a neighbour."""
    if isinstance(value, int) and rng.random() < 0.5:
        return value + rng.choice([-2, -1, 1, 2])
    return rng.choice(ODD)


def texts(catalogue: Catalogue) -> Damage:
    key, name = catalogue.document()
    [(context, text)] = catalogue.rows("SELECT context, text FROM texts WHERE key = ?", key)
    rng = catalogue.rng
    text = rng.choice(["", text[: len(text) // 2], text + " moon", "\x00", "x" * 100_000, "\u202e\x1b[2J"])
    context = rng.choice([context, context, "", "sea" * 10])
    checksum = text_checksum(name, context, text)
    catalogue.rows(
        "UPDATE texts SET context = ?, text = ?, checksum = ? WHERE key = ?", context, text, checksum, key
    )
    return Damage(f"text of {name}", {name})


def metadata(catalogue: Catalogue) -> Damage:
    key, name = catalogue.document()
    text = catalogue.rng.choice(JSONS)
    checksum = zlib.crc32(text.encode())
    catalogue.rows("UPDATE metadata SET json = ?, checksum = ? WHERE key = ?", text, checksum, key)
    return Damage(f"metadata of {name}: {text[:50]} ({len(text)})", {name})


def metadata_and_fields(catalogue: Catalogue) -> Damage:
    """Metadata of another document, with its fields as they were: each by itself is sound."""
    (key, name), (other, _) = catalogue.document(), catalogue.document()
    [(text, checksum)] = catalogue.rows("SELECT json, checksum FROM metadata WHERE key = ?", other)
    catalogue.rows("UPDATE metadata SET json = ?, checksum = ? WHERE key = ?", text, checksum, key)
    return Damage(f"metadata of {name} became those of another", {name})


def extras(catalogue: Catalogue) -> Damage:
    rng = catalogue.rng
    key, name = rng.choice(
        catalogue.rows("SELECT e.key, d.id FROM extras e JOIN documents d ON d.key = e.key")
    )
    text = rng.choice([*JSONS, '{"order": 1}'])
    source = rng.choice([None, "s0", "s1", "nowhere", "", "\x00"])
    if rng.random() < 0.3:  # the checksum stays: a change by source must not believe it
        catalogue.rows("UPDATE extras SET source = ? WHERE key = ?", source, key)
        return Damage(f"source of {name}: {source!r}, unchecked", {name})
    checksum = extras_checksum(name, source, text)
    catalogue.rows(
        "UPDATE extras SET source = ?, json = ?, checksum = ? WHERE key = ?", source, text, checksum, key
    )
    return Damage(f"extras of {name}: {source!r} {text[:50]}", {name})


def fields(catalogue: Catalogue) -> Damage:
    rng = catalogue.rng
    path, key, value = rng.choice(catalogue.rows("SELECT path, key, value FROM fields"))
    others = [row[0] for row in catalogue.rows("SELECT value FROM fields")]
    column = rng.choice(["value", "value", "value", "path", "key", "indexed"])
    old = {"value": value, "path": path, "key": key, "indexed": 1}[column]
    new = rng.choice(others) if column == "value" and rng.random() < 0.5 else odd(rng, old)
    where = "WHERE path = ? AND key = ?"
    catalogue.rows(f"UPDATE OR IGNORE fields SET {column} = ? {where}", new, path, key)
    keys = {key, new} if column == "key" else {key}
    touched = catalogue.names({one for one in keys if isinstance(one, int)})
    return Damage(f"field {path} of {key}: {column} = {str(new)[:40]!r}", touched)


def paths(catalogue: Catalogue) -> Damage:
    rng = catalogue.rng
    path, name, indexed = rng.choice(catalogue.rows("SELECT path, name, indexed FROM paths"))
    column = rng.choice(["name", "indexed", "path"])
    new = odd(rng, {"name": None, "indexed": indexed, "path": path}[column])
    if column == "name" and rng.random() < 0.5:
        others = [row[0] for row in catalogue.rows("SELECT name FROM paths WHERE path <> ?", path)]
        other = rng.choice(others)  # two names change places
        catalogue.rows("UPDATE paths SET name = 'aside' WHERE path = ?", path)
        catalogue.rows("UPDATE paths SET name = ? WHERE name = ?", name, other)
        new = other
    catalogue.rows(f"UPDATE OR IGNORE paths SET {column} = ? WHERE path = ?", new, path)
    return Damage(f"path {name}: {column} = {str(new)[:40]!r}", None)


def windows(catalogue: Catalogue) -> Damage:
    rng = catalogue.rng
    batch, found = catalogue.windows()
    place = rng.randrange(len(found))
    column = rng.choice(["key", "tokens", "first", "last", "checksum"])
    before = int(found[column][place])
    new = rng.choice([before + rng.choice([-2, -1, 1, 2]), *NUMBERS])
    if column == "tokens" and rng.random() < 0.7 and len(found) > 1:
        other = (place + 1) % len(found)  # the sum stays
        found["tokens"][other] += before - new if abs(new) < 1 << 40 else 0
    if column == "key" and rng.random() < 0.5:
        new = int(found["key"][rng.randrange(len(found))])
    found[column][place] = new
    catalogue.put_windows(batch, found)
    keys = {int(key) for key in found["key"]} | {before}
    return Damage(f"window {place} of batch {batch}: {column} {before} became {new}", catalogue.names(keys))


def blobs(catalogue: Catalogue) -> Damage:
    rng = catalogue.rng
    batch, found = catalogue.windows()
    [[blob]] = catalogue.rows("SELECT windows FROM batches WHERE batch = ?", batch)
    blob = rng.choice(
        [blob[:-1], blob[:-40], blob + blob[-40:], blob + bytes(40), b"", blob[40:] + blob[:40], blob * 2]
    )
    catalogue.rows(
        "UPDATE batches SET windows = ?, checksum = ? WHERE batch = ?", blob, zlib.crc32(blob), batch
    )
    return Damage(f"windows of batch {batch}: {len(blob)} bytes", catalogue.names(set(found["key"].tolist())))


def rows_of(catalogue: Catalogue) -> tuple[str, int, int, int, np.ndarray, int]:
    """A live window: its document's id, where its rows lie, its batch and the place in it."""
    rng = catalogue.rng
    start = 0
    places = []
    for batch, tokens, blob in catalogue.rows("SELECT batch, tokens, windows FROM batches ORDER BY batch"):
        found = np.frombuffer(blob, WINDOW).copy()
        first = start
        for place, window in enumerate(found):
            if window["tokens"]:
                places.append((int(window["key"]), first, first + int(window["tokens"]), batch, found, place))
            first += int(window["tokens"])
        start += tokens
    key, *rest = rng.choice(places)
    [name] = catalogue.names({key}) or {"?"}
    return (name, *rest)


def token_rows(catalogue: Catalogue) -> Damage:
    """Bytes of rows or scales, with the window's checksum and that of its batch."""
    rng = catalogue.rng
    name, first, last, batch, found, place = rows_of(catalogue)
    generation = catalogue.state("generation")
    [rows_file] = catalogue.path.glob(f"tokens-{generation:06}.u?")
    scales_file = catalogue.path / f"scales-{generation:06}.f32"
    width = int(rows_file.suffix[-1])  # of 8 numbers
    rows = np.fromfile(rows_file, np.uint8).reshape(-1, width)
    scales = np.fromfile(scales_file, np.float32)
    row = rng.randrange(first, last)
    if rng.random() < 0.4:
        rows[row, rng.randrange(width) :] = rng.choice([0, 1, 128, 255])
        what = "row"
    else:
        scales[row] = rng.choice(FLOATS)
        what = f"scale {scales[row]}"
    rows.tofile(rows_file)
    scales.tofile(scales_file)
    found["checksum"][place] = zlib.crc32(
        scales[first:last].tobytes(), zlib.crc32(rows[first:last].tobytes())
    )
    catalogue.put_windows(batch, found)
    return Damage(f"{what} {row} of {name}, rows {first} to {last}", {name})


def codes(catalogue: Catalogue) -> Damage:
    rng = catalogue.rng
    number = catalogue.state("codes")
    if not number:
        return texts(catalogue)
    if rng.random() < 0.5:
        file = catalogue.path / f"centroids-{number:06}.f32"
        centroids = np.fromfile(file, np.float32)
        some = rng.choice([slice(0, 1), slice(None), slice(0, 8), slice(-3, None)])
        centroids[some] = rng.choice(FLOATS)
        centroids.tofile(file)
        catalogue.rows("UPDATE state SET centroids_checksum = ?", zlib.crc32(centroids.tobytes()))
        return Damage(f"centroids {some}: {centroids[some][0]}", None)
    file = catalogue.path / f"codes-{number:06}.u16"
    values = np.fromfile(file, np.uint16)
    place = rng.randrange(len(values))
    values[place:] = rng.choice([0, 1, catalogue.state("centroids") - 1, catalogue.state("centroids"), 65535])
    values.tofile(file)
    first = 0
    for batch, tokens in catalogue.rows("SELECT batch, tokens FROM batches ORDER BY batch"):
        checksum = zlib.crc32(values[first : first + tokens].tobytes())
        catalogue.rows("UPDATE batches SET codes_checksum = ? WHERE batch = ?", checksum, batch)
        first += tokens
    return Damage(f"codes from {place} on: {values[place]}", None)


def state(catalogue: Catalogue) -> Damage:
    rng = catalogue.rng
    columns = [row[1] for row in catalogue.rows("PRAGMA table_info(state)")][1:]
    column = rng.choice(columns)
    new = odd(rng, catalogue.state(column))
    catalogue.rows(f"UPDATE state SET {column} = ?", new)
    return Damage(f"state.{column} = {str(new)[:40]!r}", None)


def batches(catalogue: Catalogue) -> Damage:
    rng = catalogue.rng
    batch, tokens, codes_checksum = rng.choice(
        catalogue.rows("SELECT batch, tokens, codes_checksum FROM batches")
    )
    column = rng.choice(["batch", "tokens", "codes_checksum"])
    new = odd(rng, {"batch": batch, "tokens": tokens, "codes_checksum": codes_checksum}[column])
    catalogue.rows(f"UPDATE OR IGNORE batches SET {column} = ? WHERE batch = ?", new, batch)
    return Damage(f"batch {batch}: {column} = {str(new)[:40]!r}", None)


def dead(catalogue: Catalogue) -> Damage:
    rng = catalogue.rng
    found = catalogue.rows("SELECT number, key, last_batch FROM dead")
    if not found or rng.random() < 0.2:
        key, name = catalogue.document()
        number, last_batch = catalogue.state("last_dead") + 1, catalogue.state("last_batch")
        catalogue.rows("INSERT INTO dead VALUES (?, ?, ?)", number, key, last_batch)
        if rng.random() < 0.5:
            catalogue.rows("UPDATE state SET last_dead = last_dead + 1")
        return Damage(f"{name} marked as dead", None)
    number, key, last_batch = rng.choice(found)
    column = rng.choice(["number", "key", "last_batch"])
    new = odd(rng, {"number": number, "key": key, "last_batch": last_batch}[column])
    catalogue.rows(f"UPDATE OR IGNORE dead SET {column} = ? WHERE number = ?", new, number)
    return Damage(f"dead {number}: {column} = {str(new)[:40]!r}", None)


def documents(catalogue: Catalogue) -> Damage:
    rng = catalogue.rng
    key, name = catalogue.document()
    column = rng.choice(["hash", "windows", "tokens", "id", "key"])
    if column == "id":
        new = rng.choice(["", "d999", "\x00", "x" * 100_000, "\u202e", "d0\n"])
        catalogue.rows("UPDATE OR IGNORE documents SET id = ? WHERE key = ?", new, key)
        [(context, text)] = catalogue.rows("SELECT context, text FROM texts WHERE key = ?", key)
        catalogue.rows("UPDATE texts SET checksum = ? WHERE key = ?", text_checksum(new, context, text), key)
        return Damage(f"{name} is called {new[:40]!r}", {name, new})
    [[old]] = catalogue.rows(f"SELECT {column} FROM documents WHERE key = ?", key)
    new = odd(rng, old)
    catalogue.rows(f"UPDATE OR IGNORE documents SET {column} = ? WHERE key = ?", new, key)
    return Damage(f"document {name}: {column} = {str(new)[:40]!r}", {name})


def settings(catalogue: Catalogue) -> Damage:
    rng = catalogue.rng
    if rng.random() < 0.3:
        new = odd(rng)
        catalogue.rows("UPDATE settings SET value = ? WHERE name = 'collection'", new)
        return Damage(f"collection id {str(new)[:40]!r}", None)
    if rng.random() < 0.2:
        new = rng.choice([*ODD, "4", "8"])
        catalogue.rows("REPLACE INTO settings VALUES ('bits', ?)", new)
        return Damage(f"bits {str(new)[:40]!r}", None)
    [[text]] = catalogue.rows("SELECT value FROM settings WHERE name = 'fingerprint'")
    fingerprint = json.loads(text)
    name = rng.choice([*fingerprint, "model", "dim", "more"])
    fingerprint[name] = rng.choice([*NUMBERS, None, [], {}, "x", float("nan"), 8.0, True, {"a": [{}]}])
    new = rng.choice([json.dumps(fingerprint), *JSONS])
    catalogue.rows("UPDATE settings SET value = ? WHERE name = 'fingerprint'", new)
    return Damage(f"fingerprint {new[:80]}", None)


def index_of_words(catalogue: Catalogue) -> Damage:
    """A value of the index of words, in the tables of FTS5 or in ours: nothing but a search with words reads it."""
    rng = catalogue.rng
    if not catalogue.rows("SELECT 1 FROM sqlite_master WHERE name = 'words'"):
        return texts(catalogue)
    table, column = rng.choice(
        [
            *[("words_data", "block")] * 4,
            *(("words_data", "id"), ("words_idx", "pgno"), ("words_idx", "term"), ("words_docsize", "sz")),
            *(("words_docsize", "id"), ("words_config", "v"), ("word_rows", "first"), ("word_rows", "spans")),
            *(("word_rows", "key"), ("word_rows", "checksum"), ("word_index", "last")),
        ]
    )
    [old] = rng.choice(catalogue.rows(f"SELECT {column} FROM {table}"))
    new = odd(rng, old)
    if isinstance(old, bytes) and rng.random() < 0.8:
        changed = bytearray(old)
        for _ in range(rng.choice([1, 2, 9])):
            if changed:
                changed[rng.randrange(len(changed))] = rng.randrange(256)
        new = bytes(changed[: rng.choice([len(changed), len(changed), rng.randrange(len(changed) + 1)])])
    catalogue.rows(f"UPDATE OR IGNORE {table} SET {column} = ? WHERE {column} IS ?", new, old)
    return Damage(f"{table}.{column} = {new[:40] if isinstance(new, (bytes, str)) else new!r}")


def counts_of_tokens(catalogue: Catalogue) -> Damage:
    """The tokens of a document, with their checksum, or how often one is counted: only weights by idf read it."""
    rng = catalogue.rng
    if not catalogue.rows("SELECT 1 FROM token_ids"):
        return texts(catalogue)
    if rng.random() < 0.5:
        token, count = rng.choice(catalogue.rows("SELECT token, documents FROM token_counts"))
        column = rng.choice(["documents", "documents", "token"])
        new = odd(rng, {"token": token, "documents": count}[column])
        catalogue.rows(f"UPDATE OR IGNORE token_counts SET {column} = ? WHERE token = ?", new, token)
        return Damage(f"token_counts.{column} of {token} = {new!r}")
    key, name = catalogue.document()
    blob = rng.choice([b"", b"\xff" * 9, b"\x80", packed(range(rng.randrange(99))), rng.randbytes(7)])
    values = (blob, ids_checksum(name, blob), key)
    catalogue.rows("UPDATE token_ids SET ids = ?, checksum = ? WHERE key = ?", *values)
    return Damage(f"token_ids of {name} = {blob!r}")


KINDS: tuple[Callable[[Catalogue], Damage], ...] = (
    texts,
    index_of_words,
    index_of_words,
    counts_of_tokens,
    metadata,
    metadata,
    metadata_and_fields,
    extras,
    extras,
    fields,
    fields,
    paths,
    windows,
    windows,
    blobs,
    token_rows,
    token_rows,
    codes,
    codes,
    state,
    batches,
    dead,
    documents,
    documents,
    settings,
)


def damage(path: Path, rng: random.Random) -> Damage:
    """Change one value of a copy, and the checksums that cover it."""
    catalogue = Catalogue(path, rng)
    with closing(catalogue.sql):
        kind = rng.choice(KINDS)
        try:
            done = kind(catalogue)
        except (sqlite3.Error, OverflowError) as error:  # a column that refuses the value
            return Damage(f"{kind.__name__}: refused, {error}")
    done.what = f"{kind.__name__}: {done.what}"
    return done


# Use

Held = dict[str, tuple[str, str, str | None]]
"""Id to text, metadata and a source whose checksum fits, as the catalogue has them."""


def held(path: Path) -> Held:
    """What the catalogue has, read without this library."""
    with closing(sqlite3.connect(path / "catalog.sqlite")) as sql:
        found = sql.execute(
            "SELECT d.id, t.text, m.json, e.source, e.json, e.checksum FROM documents d "
            "JOIN texts t ON t.key = d.key JOIN metadata m ON m.key = d.key LEFT JOIN extras e ON e.key = d.key"
        )
        return {
            name: (
                text,
                values,
                source if source and extras_checksum(name, source, kept) == checksum else None,
            )
            for name, text, values, source, kept, checksum in found
        }


Scores = dict[str, list[tuple[str, float, str, str]]]


def search(collection: Collection, filter: dict[str, Any] | None = None) -> Scores:
    """Hits of each question, all documents asked for, exact and pruned."""
    found: Scores = {}
    for query in QUERIES:
        for exact in (True, False):
            hits = collection.search(query, k=100, exact=exact, filter=filter)
            assert all(np.isfinite(hit.score) for hit in hits), "a score that is no number"
            found[f"{query}, {exact}"] = [
                (str(hit.id), round(hit.score, 4), hit.text, str(hit.passage)) for hit in hits
            ]
    return found


class Round:
    """One damaged copy and everything that is done to it."""

    def __init__(self, path: Path, done: Damage, sound: Held, scores: Scores, counts: Counter[str]) -> None:
        self.path, self.done, self.sound, self.scores, self.counts = path, done, sound, scores, counts
        self.untouched = sound.keys() - done.touched if done.touched is not None else set(sound)

    def ask(self, name: str, call: Callable[[Collection], Any]) -> Any:
        """Call with a collection that is opened for it; None where that is refused by name."""
        from tests.fuzz.mutate import ENCODER

        with limited(name):
            try:
                with Collection(self.path, ENCODER, timeout=1) as collection:
                    answer = call(collection)
            except RetrieversError as error:
                self.counts[f"{name}: {type(error).__name__}"] += 1
                return None
        self.counts[f"{name}: answered"] += 1
        return answer

    def read(self) -> bool:
        """Look at everything. Returns whether search answers."""
        local = self.done.touched is not None
        got = self.ask("get", lambda one: {key: one.get([key]) for key in sorted(self.untouched)})
        if got is not None:
            for key, documents_ in got.items():
                assert [one.text for one in documents_] == [self.sound[key][0]], f"{key} is not what it was"
                assert dict(documents_[0].metadata) == json.loads(self.sound[key][1]), f"metadata of {key}"
        assert got is not None or not local, "documents that were not touched cannot be had"
        found = self.ask("search", search)
        for question, hits in (found or {}).items():
            wanted = [hit for hit in self.scores[question] if hit[0] in self.untouched]
            given = [hit for hit in hits if hit[0] in self.untouched]
            if local:
                assert given == wanted, f"{question!r}: hits of documents that were not touched"
            else:
                assert all(hit in wanted for hit in given), f"{question!r}: a wrong hit"
        for filter in FILTERS:
            hits = self.ask("filtered search", lambda one, f=filter: search(one, f))
            for one in (hit for some in (hits or {}).values() for hit in some):
                assert one[0] not in self.untouched or keeps(filter, self.sound[one[0]]), f"{filter}: {one}"
        for name in ("info", "verify", "get", "explain", "words", "weighted"):
            self.ask(f"whole {name}", CALLS[name])
        return found is not None

    def change(self, rng: random.Random) -> None:
        """Make one change; nothing but its own documents is gone afterwards."""
        before, readable = held(self.path), self.ask("search", search) is not None
        name = rng.choice([*CHANGES, "delete", "delete", "filter", "filter"])
        gone: set[str] = set()
        if name == "delete":
            gone = {rng.choice(sorted(before))}
            answer = self.ask(name, lambda one: one.delete(sorted(gone)))
        elif name == "filter":
            filter = rng.choice(FILTERS)
            answer = self.ask(name, lambda one: one.delete(filter=filter))
            gone = {key for key in before if key not in self.untouched or keeps(filter, before[key])}
        else:
            answer = self.ask(name, CHANGES[name])
            gone = {key for key, one in before.items() if name == "sources" and one[2] == "s1"}
        after = held(self.path)
        for key in before:
            if key not in gone and key not in OWN.get(name, ()):
                assert after.get(key) == before[key], f"{name} changed {key}"
        if answer is None:
            assert after == before or name in ("optimize", "compact", "index words", "count tokens"), (
                f"{name} was refused and changed something"
            )
        if readable:
            assert self.ask("search again", search) is not None, f"after {name} nothing can be found"


def keeps(filter: dict[str, Any], stored: tuple[str, str, str | None]) -> bool:
    """Whether a filter keeps a document by its metadata."""
    from retrievers.filters import parse

    return bool(parse(filter).matches(json.loads(stored[1])))


def weighted(collection: Collection) -> bool:
    """A search with weights by idf: its scores are numbers."""
    from tests.fuzz.mutate import WEIGHING

    with Collection(collection.path, WEIGHING, timeout=1) as weighing:
        for query in QUERIES:
            for hit in weighing.search(query, k=100):
                assert np.isfinite(hit.score)
                assert 0 <= hit.normalized_score <= 1
    return True


def explain(collection: Collection) -> None:
    for hit in collection.search("sun moon", k=100):
        collection.explain("sun moon", hit)


CALLS: dict[str, Callable[[Collection], Any]] = {
    "info": lambda one: one.info(),
    "verify": lambda one: one.verify(),
    "get": lambda one: one.get(),
    "explain": explain,
    "weighted": weighted,
    "words": lambda one: [one.search(query, k=100, words=0.5, passages=1) for query in QUERIES],
}
CHANGES: dict[str, Callable[[Collection], Any]] = {
    "add": lambda one: one.add(["sun and rain"], ids=["d1"], show_progress=False),
    "add new": lambda one: one.add(["sun and rain"], ids=["new"], metadatas=[{"n": 3}], show_progress=False),
    "update": lambda one: one.update(["d3"], [{"n": 9}]) or True,
    "sources": lambda one: one.add_sources(
        [Document("sun", "new", source="s1")], ["s1"], show_progress=False
    ),
    "compact": lambda one: one.compact() or True,
    "index words": lambda one: one.index_words() or True,
    "count tokens": lambda one: one.count_tokens(show_progress=False) or True,
    "optimize": lambda one: one.optimize(show_progress=False) or True,
}
OWN = {"add": ["d1"], "update": ["d3"]}


@contextmanager
def limited(name: str) -> Iterator[None]:
    """Refuse a call that takes too long."""

    def late(signum: int, frame: object) -> None:
        raise TimeoutError(f"{name}: no answer after {SECONDS} s of processor time")

    signal.signal(signal.SIGPROF, late)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    signal.alarm(20 * SECONDS)  # ends the process, also out of a loop inside SQLite
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.alarm(0)


def rounds(sound: list[Path], directory: Path, seeds: range) -> Counter[str]:
    """Damage and use, once for each seed.

    Raises:
        AssertionError: a wrong answer, an unnamed exception or a hang; the message has the seed.
    """
    from tests.fuzz.mutate import ENCODER

    counts: Counter[str] = Counter()
    expected = {}
    for path in sound:
        with Collection(path, ENCODER) as collection:
            expected[path] = (held(path), search(collection))
            explain(collection)
    for seed in seeds:
        rng = random.Random(seed)
        source = rng.choice(sound)
        path = directory / f"consistent-{seed}"
        shutil.copytree(source, path)
        done = damage(path, rng)
        one = Round(path, done, *expected[source], counts)
        try:
            one.read()
            one.change(rng)
        except BaseException as error:
            raise AssertionError(f"seed {seed}, {source.name}: {done.what}") from error
        shutil.rmtree(path)
    return counts


def run(count: int, first: int = 0) -> Counter[str]:
    """Rounds in child processes, so that a crash is seen; counts by outcome."""
    return in_children(build, rounds, count, first)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    began = time.perf_counter()
    for name, count in sorted(run(options.count, options.first).items()):
        print(f"{count:6} {name}")
    print(
        f"{options.count:6} collections in {time.perf_counter() - began:.0f} s, damaged where no checksum shows it"
    )


if __name__ == "__main__":
    main()
