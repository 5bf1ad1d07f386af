"""What a worker stores into: a Qdrant server, or shards, directories of their own that are merged afterwards."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from uuid import uuid4

from retrievers.collection import Collection, indexing
from retrievers.encoder import identity
from retrievers.errors import CorruptStoreError, StoreError
from retrievers.types import Document, Encoder

if TYPE_CHECKING:
    from retrievers.qdrant import QdrantCollection

PARTIAL = ".partial-"  # of the name of a shard that is being written
BATCH_DOCUMENTS = 256  # that are committed together


class Target(Protocol):
    """Where documents go; it travels to the workers, and opens there."""

    def opened(self, encoder: Encoder) -> Store:
        """A store of a worker's own."""
        ...


class Store(Protocol):
    """What a worker stores batches with. A batch that was stored before, whole or in part, is no second one."""

    def store(self, documents: Sequence[Document], places: Sequence[int]) -> str:
        """Encode and store documents.

        Args:
            places: of the documents in the dataset, ascending.
        Returns:
            The name of the shard that holds them; empty where there are no shards.
        """
        ...


@dataclass(frozen=True, slots=True)
class Shards:
    """Directories that a worker makes in another, a collection each: whole, or not there.

    A shard is named by the place of its first document in the dataset, so that names are in order, and by a digest of
    model, bits and documents: a task that is tried again finds what the first try finished.

    Attributes:
        directory: the other.
        bits: of a number of the rows.
    """

    directory: str
    bits: int = 8

    def opened(self, encoder: Encoder) -> Store:
        return _ShardStore(Path(self.directory), encoder, self.bits)


class _ShardStore:
    def __init__(self, directory: Path, encoder: Encoder, bits: int) -> None:
        self._directory, self._encoder, self._bits = directory, encoder, bits

    def store(self, documents: Sequence[Document], places: Sequence[int]) -> str:
        name = f"{places[0]:016x}-{digest_of(documents, self._encoder.fingerprint, self._bits)}"
        shard = self._directory / name
        if shard.is_dir():
            return name
        partial = self._directory / f"{PARTIAL}{uuid4().hex}"
        try:
            with Collection(partial, self._encoder, bits=self._bits) as collection:
                collection.add(list(documents), show_progress=False)
            partial.rename(shard)
        except OSError as error:
            if not shard.is_dir():  # otherwise another try of the same task was first
                if isinstance(error, StoreError):
                    raise
                raise StoreError(f"the shard {str(shard)!r} cannot be written: {error}.") from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return name


def digest_of(documents: Sequence[Document], fingerprint: Mapping[str, Any], bits: int) -> str:
    """A digest of everything that a shard is made of."""
    made = blake2b(identity.canonical({"bits": bits, "fingerprint": fingerprint}).encode(), digest_size=16)
    for document in documents:
        made.update(json.dumps(asdict(document), sort_keys=True).encode() + b"\n")
    return made.hexdigest()


def shards_of(directory: Path) -> list[Path]:
    """The whole shards of a directory, in the order of the dataset."""
    return sorted(path for path in directory.iterdir() if path.is_dir() and not path.name.startswith(PARTIAL))


def sweep(directory: Path) -> None:
    """Remove what workers that died have left of shards."""
    for path in directory.glob(f"{PARTIAL}*"):
        with suppress(OSError):
            shutil.rmtree(path)


@dataclass(frozen=True, slots=True)
class OnServer:
    """A collection on a Qdrant server.

    Attributes:
        name: of the collection.
        options: of the client: address, key and time limit.
        first: place in the order of insertion of the dataset's first document.
    """

    name: str
    options: Mapping[str, Any]
    first: int

    def opened(self, encoder: Encoder) -> Store:
        return _ServerStore(self, encoder)


class _ServerStore:
    def __init__(self, target: OnServer, encoder: Encoder) -> None:
        from qdrant_client import QdrantClient

        from retrievers.qdrant import QdrantCollection

        client = QdrantClient(**{**target.options, "check_compatibility": False})
        self._collection: QdrantCollection = QdrantCollection(client, target.name, encoder)
        self._first = target.first

    def store(self, documents: Sequence[Document], places: Sequence[int]) -> str:
        from retrievers.qdrant import writing
        from retrievers.qdrant.steps import run

        collection = self._collection
        for first in range(0, len(documents), writing.BATCH_DOCUMENTS):
            batch = slice(first, first + writing.BATCH_DOCUMENTS)
            numbers: Iterator[int] = iter([self._first + place for place in places[batch]])
            entries = partial(indexing.entries, collection.encoder)
            steps = writing.add(collection._calls.layout, documents[batch], None, entries, numbers, _ignored)
            run(steps, collection._connection)
        return ""


def _ignored(count: int) -> None:
    """Take a count of documents and do nothing with it: Ray shows the progress."""


def on_server(collection: QdrantCollection) -> OnServer:
    """How workers reach a collection on a server.

    Raises:
        StoreError: the client's own engine has it, which other processes cannot reach.
    """
    from retrievers.qdrant import writing
    from retrievers.qdrant.steps import run

    connection = collection._connection
    if connection.local:
        raise StoreError(
            f"{connection.address} is of this process alone: workers need a server, QdrantCollection('http://…', …)."
        )
    numbers = run(writing.places(collection._calls.layout), connection)
    first = next(numbers)
    if not isinstance(first, int):
        raise CorruptStoreError(f"the place {first!r} in the order of insertion is no number.")
    return OnServer(collection.name, dict(connection.client.init_options), first)
