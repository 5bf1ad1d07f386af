"""Damaged and hostile directories: opened, searched and verified without a crash, a hang or a wrong hit.

    python -m tests.fuzz.mutate --count 20000

Each round copies a small collection, damages one or two of its files, and uses it. Every hit that comes back
must be the one that the sound collection gives, all of them, or an error of this library must say why not.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import shutil
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from retrievers import Collection
from retrievers.errors import RetrieversError
from retrievers.testing import HashingEncoder
from tests.fuzz.children import in_children

ENCODER = HashingEncoder(dim=8, document_length=5)
WEIGHING = HashingEncoder(dim=8, document_length=5, query_weights=("length", "idf"))
WORDS = ["sun", "moon", "star", "sky", "sea", "river", "stone", "tree", "hill", "rain"]
QUERIES = ("sun moon", "tree river sky")
FILTERS = (None, {"n": {"$gte": 5}}, {"lang": "en"}, {"tags": {"$contains": 1}})
SECONDS = 20  # of processor time: a round that takes more hangs; one that waits ten times as long, too


def build(directory: Path) -> list[Path]:
    """Sound collections: one small, one with dead rows and codes, one compacted, one of 4 bits, one empty."""
    paths = []
    for name in ("plain", "optimized", "compacted", "four bits", "empty"):
        rng = random.Random(name)
        path = directory / name
        words = None if name == "plain" else "porter"
        encoder = ENCODER if name == "plain" else WEIGHING  # which counts the tokens of the documents
        bits = 4 if name == "four bits" else 8
        collection = Collection(path, encoder, indexed=["n"], words=words, bits=bits)
        for batch in range(0 if name == "empty" else 4):
            keys = [f"d{batch * 5 + n}" for n in range(7)]
            texts = [" ".join(rng.choices(WORDS, k=rng.randrange(14))) for _ in keys]
            data = [{"n": n, "lang": rng.choice(["en", "de"]), "tags": [n % 3]} for n in range(7)]
            collection.add(texts, ids=keys, metadatas=data, show_progress=False)
            if batch == 1 and name != "plain":
                collection.optimize(show_progress=False)
        if name == "compacted":
            collection.compact()
        collection.close()
        paths.append(path)
    return paths


Answers = list[list[tuple[str | None, float, str, str]]]


def use(path: Path) -> Answers:
    """Everything that a reader does, with all documents asked for, so that a lost one shows."""
    collection = Collection(path, ENCODER, timeout=1)
    try:
        answers = []
        for query in QUERIES:
            for filter in FILTERS:
                for exact in (True, False):
                    # words=0, because a share of words that SQL changed to another is as legal as the one before.
                    hits = collection.search(query, k=100, filter=filter, exact=exact, words=0)
                    answers.append(
                        [(hit.id, round(hit.score, 4), hit.text, repr(hit.metadata)) for hit in hits]
                    )
        return answers
    finally:
        collection.close()


def ask_words(path: Path) -> None:
    """A search with words, which has no checksum to go by: a hit is a document as it is stored."""
    collection = Collection(path, ENCODER, timeout=1)
    try:
        for query in QUERIES:
            for words in (0.5, 1.0):
                hits = collection.search(query, k=100, words=words, passages=2)
                stored = {one.id: one.text for one in collection.get()}  # not by the index of ids
                assert all(stored[hit.id] == hit.text and 0 <= hit.score <= 1 for hit in hits)
    finally:
        collection.close()


def ask_weighted(path: Path) -> None:
    """A search with weights by idf, whose counts have no checksum to go by: a hit is a document as it is stored."""
    collection = Collection(path, WEIGHING, timeout=1)
    try:
        for query in QUERIES:
            hits = collection.search(query, k=100)
            stored = {one.id: one.text for one in collection.get()}  # not by the index of ids
            assert all(stored[hit.id] == hit.text and math.isfinite(hit.score) for hit in hits)
            assert all(0 <= hit.normalized_score <= 1 for hit in hits)
    finally:
        collection.close()


def care(path: Path) -> None:
    """What repairs: verify and info must not fail in another way than readers do."""
    collection = Collection(path, ENCODER, timeout=1)
    try:
        collection.info()
        collection.verify()
        collection.get()
    finally:
        collection.close()


def write(path: Path) -> None:
    """Changes of a damaged collection fail by name or work."""
    collection = Collection(path, ENCODER, timeout=1)
    try:
        collection.add(["sun and rain"], ids=["d1"], show_progress=False)
        collection.delete(["d2"])
        collection.compact()
        collection.index_words()
        collection.count_tokens(show_progress=False)
    finally:
        collection.close()


# Damage


def cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def zero(data: bytes, rng: random.Random) -> bytes:
    first = rng.randrange(len(data) + 1)
    last = min(len(data), first + rng.choice([1, 100, 4096, len(data)]))
    return data[:first] + bytes(last - first) + data[last:]


def flip(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 3, 20])):
        if changed:
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def scramble(data: bytes, rng: random.Random) -> bytes:
    first = rng.randrange(len(data) + 1)
    part = rng.randbytes(rng.choice([1, 8, 64, 1000]))
    return data[:first] + part + data[first + len(part) :]


def shift(data: bytes, rng: random.Random) -> bytes:
    first = rng.randrange(len(data) + 1)
    return data[:first] + rng.randbytes(rng.randrange(1, 9)) + data[first:]


def repeat(data: bytes, rng: random.Random) -> bytes:
    """A page of a file in the place of another."""
    size = rng.choice([8, 64, 4096])
    source, target = rng.randrange(len(data) + 1), rng.randrange(len(data) + 1)
    part = data[source : source + size]
    return data[:target] + part + data[target + len(part) :]


def foreign(data: bytes, rng: random.Random) -> bytes:
    return rng.choice([b"", b"not ours", b"\x80\x04N.", b"SQLite format 3\x00", rng.randbytes(len(data))])


CHANGES: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    cut,
    zero,
    flip,
    scramble,
    shift,
    repeat,
    foreign,
)
NUMBERS = (-1, 0, 1, 2, 7, 1000, 1 << 31, (1 << 62) + 1, (1 << 63) - 1, -(1 << 63), 0.5, "x", b"x", None)
COLUMNS = (
    *(
        ("state", name)
        for name in ["version", "generation", "tokens", "last_batch", "last_dead", "last_key", "documents"]
    ),
    *(
        ("state", name)
        for name in ["live_windows", "live_tokens", "codes", "centroids", "centroids_checksum"]
    ),
    *(("batches", name) for name in ["batch", "tokens", "windows", "checksum", "codes_checksum"]),
    *(("dead", name) for name in ["number", "key", "last_batch"]),
    *(("documents", name) for name in ["key", "id", "hash", "windows", "tokens"]),
    *(("texts", name) for name in ["key", "context", "text", "checksum"]),
    *(("metadata", name) for name in ["key", "json", "checksum"]),
    *(("paths", name) for name in ["path", "name", "indexed"]),
    *(("fields", name) for name in ["path", "key", "value", "indexed"]),
    ("settings", "value"),
    *(("words_data", name) for name in ["id", "block", "block", "block"]),
    *(("words_idx", name) for name in ["segid", "term", "pgno"]),
    *(("words_docsize", name) for name in ["id", "sz"]),
    *(("words_config", name) for name in ["k", "v"]),
    *(("word_rows", name) for name in ["key", "first", "spans", "checksum"]),
    *(("word_index", name) for name in ["tokenizer", "weight", "last"]),
    *(("token_ids", name) for name in ["key", "ids", "checksum"]),
    *(("token_counts", name) for name in ["token", "documents", "documents"]),
)
SCHEMAS = (
    "CREATE TRIGGER t AFTER UPDATE ON state BEGIN DELETE FROM documents; END",
    "CREATE VIEW v AS WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r) SELECT x FROM r",
    "DROP TABLE documents",
    "DROP INDEX field_values",
    "ALTER TABLE state ADD COLUMN more INTEGER",
    "PRAGMA user_version = 2",
    "PRAGMA user_version = 0",
    "PRAGMA application_id = 1",
    "PRAGMA journal_mode = DELETE",
)


# ruff: noqa: S608


def edit(path: Path, rng: random.Random) -> str:
    """Change the catalogue through SQL: no damage that SQLite itself could see."""
    connection = sqlite3.connect(path / "catalog.sqlite", isolation_level=None)
    try:
        if rng.random() < 0.15:
            statement = rng.choice(SCHEMAS)
            connection.execute(statement)
            return statement
        table, column = rng.choice(COLUMNS)
        if rng.random() < 0.2:
            statement = f"DELETE FROM {table} WHERE {column} = (SELECT max({column}) FROM {table})"
            connection.execute(statement)
            return statement
        value = rng.choice(NUMBERS)
        where = rng.choice(["", f" WHERE {column} = (SELECT max({column}) FROM {table})"])
        statement = f"UPDATE OR IGNORE {table} SET {column} = ?{where}"
        connection.execute(statement, [value])
        return f"{statement} [{value!r}]"
    except (sqlite3.Error, UnicodeDecodeError) as error:  # a message of SQLite can quote damaged bytes
        return f"refused: {error}"
    finally:
        connection.close()


def damage(path: Path, rng: random.Random) -> str:
    """Damage one or two things; returns what was done."""
    done = []
    for _ in range(rng.choice([1, 1, 1, 2])):
        if rng.random() < 0.3 and (path / "catalog.sqlite").is_file():
            done.append(edit(path, rng))
            continue
        files = sorted(name for name in os.listdir(path) if (path / name).is_file())
        name = rng.choice([*files, "catalog.sqlite"])
        if name not in files:
            continue
        kind = rng.random()
        if kind < 0.05:
            (path / name).unlink()
            done.append(f"removed {name}")
        elif kind < 0.07:
            (path / name).unlink()
            (path / name).mkdir()
            done.append(f"{name} became a directory")
        elif kind < 0.12:
            other = rng.choice(files)
            shutil.copyfile(path / other, path / f"{name}.new")
            os.replace(path / f"{name}.new", path / name)
            done.append(f"{name} became {other}")
        else:
            change = rng.choice(CHANGES)
            (path / name).write_bytes(change((path / name).read_bytes(), rng))
            done.append(f"{change.__name__} {name}")
    if rng.random() < 0.03:
        (path / "catalog.sqlite-wal").write_bytes(rng.randbytes(rng.choice([1, 32, 5000])))
        done.append("a log of noise")
    return "; ".join(done)


def attempt(call: Callable[[], object], counts: Counter[str], name: str) -> object:
    """Call; an error of this library is an answer, too."""
    try:
        answer = call()
    except RetrieversError as error:
        counts[f"{name}: {type(error).__name__}"] += 1
        return None
    counts[f"{name}: answered"] += 1
    return answer


def rounds(sound: list[Path], directory: Path, seeds: range) -> Counter[str]:
    """Damage and use, once for each seed.

    Raises:
        AssertionError: a wrong answer, an unnamed exception or a hang; the message has the seed.
    """
    counts: Counter[str] = Counter()
    expected = {path: use(path) for path in sound}
    signal.signal(signal.SIGPROF, _hang)
    for seed in seeds:
        rng = random.Random(seed)
        source = rng.choice(sound[:4] * 5 + sound[4:])
        path = directory / f"{seed}"
        shutil.copytree(source, path)
        done = damage(path, rng)
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        signal.alarm(10 * SECONDS)  # ends the process, also out of a loop inside SQLite
        try:
            answers = attempt(lambda p=path: use(p), counts, "search")
            assert answers is None or right(answers, expected[source]) or _created_anew(path), "wrong hits"
            attempt(lambda p=path: ask_words(p), counts, "words")
            attempt(lambda p=path: ask_weighted(p), counts, "weighted")
            attempt(lambda p=path: care(p), counts, "verify")
            if seed % 3 == 0:
                attempt(lambda p=path: write(p), counts, "write")
        except BaseException as error:
            raise AssertionError(f"seed {seed}, {source.name}: {done}") from error
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.alarm(0)
        shutil.rmtree(path)
    return counts


def right(answers: Answers, expected: Answers) -> bool:
    """Whether all hits are right, and without a filter none is missing.

    Rows of `fields` that somebody took out by SQL can hide a document from a filter until verify is called.
    """
    filters = [filter for _ in QUERIES for filter in FILTERS for _ in range(2)]
    return all(
        answer == wanted if filter is None else all(hit in wanted for hit in answer)
        for filter, answer, wanted in zip(filters, answers, expected, strict=True)
    )


def _created_anew(path: Path) -> bool:
    """Whether damage took away everything, so that the directory was a new one."""
    return not [name for name in os.listdir(path) if name.startswith("tokens-")]


def run(count: int, first: int = 0) -> Counter[str]:
    """Rounds in child processes, so that a crash is seen; counts by outcome."""
    return in_children(build, rounds, count, first)


def _hang(signum: int, frame: object) -> None:
    raise TimeoutError(f"no answer after {SECONDS} s of processor time")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    began = time.perf_counter()
    counts = run(options.count, options.first)
    for name, count in sorted(counts.items()):
        print(f"{count:6} {name}")
    print(
        f"{options.count:6} damaged collections in {time.perf_counter() - began:.0f} s, no crash, hang or wrong hit"
    )


if __name__ == "__main__":
    main()
