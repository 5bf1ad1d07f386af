"""How many documents have a token: counted in the transaction that names the documents, for the idf of questions.

Each document's distinct tokens are kept as numbers of the vocabulary, so that what is deleted or replaced is subtracted
without a tokenizer.
"""

from __future__ import annotations

import json
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from retrievers.errors import CorruptStoreError, InvalidInputError
from retrievers.store.connection import Connection

SINCE = 4  # version of the format that has the tables
COUNTED = "token_counts"  # the setting that says that every document is counted
MOST = 1 << 31  # above every number of a vocabulary


class TokenCounts:
    """The counts of a collection, changed inside one transaction.

    Args:
        connection: inside the transaction, of the newest format.

    Attributes:
        kept: whether the collection counts tokens.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.kept = are_kept(connection)
        self._changes: Counter[int] = Counter()

    def put(self, key: int, name: str, tokens: Iterable[int] | None) -> None:
        """Count the tokens of a document in place of those that it had.

        Raises:
            InvalidInputError: there are counts, and nobody says which tokens the document has.
        """
        if not self.kept:
            return
        if tokens is None:
            raise InvalidInputError(
                f"this collection counts the tokens of its documents, and those of {name!r} were not given: another "
                "process began to count them just now. Nothing was changed; call again."
            )
        self.remove(key, name)
        blob = packed(tokens)
        self._connection.run("INSERT INTO token_ids VALUES (?, ?, ?)", [key, blob, ids_checksum(name, blob)])
        self._changes.update(unpacked(blob))

    def remove(self, key: int, name: str) -> None:
        """Count the tokens of a document no longer."""
        if not self.kept:
            return
        for blob, checksum in self._connection.rows(
            "SELECT ids, checksum FROM token_ids WHERE key = ?", [key]
        ):
            # A document must be deletable though these are damaged; verify then says that the counts are wrong.
            if isinstance(blob, bytes) and ids_checksum(name, blob) == checksum:
                self._changes.subtract(unpacked(blob))
        self._connection.run("DELETE FROM token_ids WHERE key = ?", [key])

    def begin(self) -> None:
        """Forget all counts, and keep them from now on."""
        self._connection.run("DELETE FROM token_ids")
        self._connection.run("DELETE FROM token_counts")
        self._connection.run("INSERT OR REPLACE INTO settings VALUES (?, 'kept')", [COUNTED])
        self.kept = True
        self._changes.clear()

    def finish(self) -> None:
        """Write the counts that have changed."""
        if not self.kept:
            return  # an older format, which a migration is about to leave, has no tables for them
        changed = [(token, count) for token, count in self._changes.items() if count]
        self._connection.run_many(
            "INSERT INTO token_counts VALUES (?, ?) "
            "ON CONFLICT (token) DO UPDATE SET documents = documents + excluded.documents",
            changed,
        )
        self._connection.run_many(
            "DELETE FROM token_counts WHERE token = ? AND documents <= 0",
            [(token,) for token, count in changed if count < 0],
        )
        self._changes.clear()


def are_kept(connection: Connection) -> bool:
    """Whether the tokens of all documents are counted."""
    return connection.format >= SINCE and bool(
        connection.rows("SELECT 1 FROM settings WHERE name = ?", [COUNTED])
    )


def read(connection: Connection, tokens: Iterable[int], documents: int) -> dict[int, int] | None:
    """In how many documents each token occurs; None where they are not counted.

    Args:
        documents: how many there are.
    Raises:
        CorruptStoreError: a count is none, or more than there are documents.
    """
    if not are_kept(connection):
        return None
    found = connection.rows(
        "SELECT token, documents FROM token_counts WHERE token IN (SELECT value FROM json_each(?))",
        [json.dumps(sorted(set(tokens)))],
    )
    for token, count in found:
        if type(count) is not int or not 1 <= count <= documents:
            raise CorruptStoreError(
                f"token {token!r} is counted in {count!r} of {documents} documents: the catalogue is damaged. {CURE}"
            )
    return dict(found)


def size(connection: Connection) -> int:
    """Bytes that the tokens of all documents take, their counts left out; 0 where there are none."""
    if not are_kept(connection):
        return 0
    [[total]] = connection.rows("SELECT coalesce(sum(length(ids)), 0) FROM token_ids")
    return int(total)


def check(connection: Connection, known: Mapping[int, str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """What is wrong with the counts: a problem, and the documents that it is about.

    Args:
        known: ids of the documents, by key.
    """
    if not are_kept(connection):
        if connection.format >= SINCE and connection.rows("SELECT 1 FROM token_ids LIMIT 1"):
            yield "tokens are kept that are not counted", ()
        return
    counts: Counter[int] = Counter()
    left = dict(known)
    for key, blob, checksum in connection.rows("SELECT key, ids, checksum FROM token_ids"):
        name = left.pop(key, None)
        if name is None:
            yield "tokens are counted of a document that is not there", ()
        elif not isinstance(blob, bytes) or ids_checksum(str(name), blob) != checksum:
            yield f"the tokens of the document do not fit their checksum. {CURE}", (str(name),)
        else:
            try:
                counts.update(unpacked(blob))
            except CorruptStoreError as error:
                yield str(error), (str(name),)
    if left:
        yield f"tokens are not counted. {CURE}", tuple(sorted(str(name) for name in left.values()))
    if dict(connection.rows("SELECT token, documents FROM token_counts")) != dict(counts):
        yield f"the counts of tokens are not those of the documents. {CURE}", ()


def ids_checksum(name: str, blob: bytes) -> int:
    """CRC-32 of a document's id and of its tokens."""
    data = name.encode()
    return zlib.crc32(blob, zlib.crc32(data, zlib.crc32(len(data).to_bytes(8, "little"))))


def packed(tokens: Iterable[int]) -> bytes:
    """Distinct numbers, ascending: each less the one before it, in groups of 7 bits, the lowest first.

    Raises:
        InvalidInputError: a number is none of a vocabulary.
    """
    data, last = bytearray(), -1
    for token in sorted(set(tokens)):
        if not 0 <= token < MOST:
            raise InvalidInputError(f"the encoder numbers a token {token}: 0 to {MOST - 1} is possible.")
        rest, last = token - last - 1, token
        while rest > 127:
            data.append(rest & 127 | 128)
            rest >>= 7
        data.append(rest)
    return bytes(data)


def unpacked(data: bytes) -> Sequence[int]:
    """The numbers that packed made these bytes of.

    Raises:
        CorruptStoreError: it made no such bytes.
    """
    tokens, last, rest, shift = [], -1, 0, 0
    for byte in data:
        rest |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            last += rest + 1
            tokens.append(last)
            rest = shift = 0
        if last >= MOST or shift > 35:
            break
    if shift or last >= MOST:
        raise CorruptStoreError(f"the tokens of a document are nothing that is ever stored. {CURE}")
    return tokens


CURE = "`Collection.count_tokens()` counts them anew."
