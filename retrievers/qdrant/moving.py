"""The half of a collection on a server by which its documents are read to be stored elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from retrievers.collection import validate
from retrievers.collection.moving import Movable
from retrievers.qdrant import streaming
from retrievers.qdrant.calls import Calls
from retrievers.qdrant.connection import Connection
from retrievers.qdrant.steps import run
from retrievers.types import Document, EncodedText


class MovablePoints(Movable):
    """Methods that do what their namesakes in Collection do."""

    _connection: Connection
    _calls: Calls

    @property
    def bits(self) -> int:
        """Bits of a number of the rows as a directory has them, 8 or 4."""
        return self._calls.layout.form.bits

    def ids(self) -> list[str]:
        """The ids of all documents, in order of insertion."""
        return run(streaming.ids(self._calls.layout), self._connection)

    def stream(self, ids: Iterable[str] | None = None) -> Iterator[tuple[Document, EncodedText]]:
        """Documents with their spans, rows and scales. See Movable.stream."""
        return self._stream(None if ids is None else validate.identifiers(ids))

    def digests(self, ids: Iterable[str]) -> dict[str, bytes]:
        """A digest of spans, rows and scales of each document. See Movable.digests."""
        return run(streaming.digests(self._calls.layout, validate.identifiers(ids)), self._connection)

    def _stream(self, ids: Sequence[str] | None) -> Iterator[tuple[Document, EncodedText]]:
        names = self.ids() if ids is None else ids
        for first in range(0, len(names), streaming.DOCUMENTS):
            page = names[first : first + streaming.DOCUMENTS]
            yield from run(streaming.encoded(self._calls.layout, page), self._connection)
