"""Documents by what they were cut from: the calls of retrievers.types.KeepsSources on a server."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from retrievers.collection import incoming, validate
from retrievers.collection.searching import condition_of
from retrievers.qdrant import reading, writing
from retrievers.qdrant.calls import Calls
from retrievers.qdrant.connection import Connection
from retrievers.qdrant.steps import Steps, run
from retrievers.types import Document, DocumentFilter, Texts


class BySource:
    """Methods that do what their namesakes in Collection do."""

    _connection: Connection
    _calls: Calls

    def add_sources(
        self, documents: Texts, sources: Iterable[str], *, show_progress: bool | None = None
    ) -> list[str]:
        """Store documents that are all there is of some sources; what else was cut from them is removed.

        Of two such calls for one source at once the later one stays whole. What is left of the other is removed by
        the next call for that source.

        Raises:
            StoreConflictError: another writer changed one of the documents meanwhile; its change stands.
        """
        names, checked = validate.identifiers(sources), incoming.whole(documents)
        return run(_add(self._calls, checked, names, show_progress), self._connection)

    def get_sources(self, sources: Iterable[str]) -> list[Document]:
        """Stored documents that were cut from any of some sources, in order of insertion; one of none is its own."""
        steps = reading.of_sources(self._calls.layout, validate.identifiers(sources))
        return [head.document() for head in run(steps, self._connection)]

    def delete_sources(self, sources: Iterable[str]) -> int:
        """Remove the documents that get_sources finds. Returns how many were removed."""
        return run(_delete(self._calls, validate.identifiers(sources)), self._connection)

    def delete_among(self, ids: Iterable[str], filter: DocumentFilter) -> int:
        """Remove those of some documents that a filter keeps. Returns how many were removed."""
        return run(_delete_among(self._calls, validate.identifiers(ids), filter), self._connection)


def _add(
    calls: Calls, documents: list[Document], sources: list[str], show_progress: bool | None
) -> Steps[list[str]]:
    begun = writing.now()
    whole = [replace(one, attachment=one.attachment or {}) for one in documents]
    added = yield from calls.add(whole, None, None, None, None, show_progress)
    stored = yield from reading.of_sources(calls.layout, sources)
    kept = set(added)
    # Another writer's documents that came since are not removed: of two calls at once one stays whole.
    stale = [head.id for head in stored if head.generation < begun and head.id not in kept]
    yield from writing.delete(calls.layout, stale)
    return added


def _delete(calls: Calls, sources: list[str]) -> Steps[int]:
    found = yield from reading.of_sources(calls.layout, sources)
    return (yield from writing.delete(calls.layout, [head.id for head in found]))


def _delete_among(calls: Calls, ids: list[str], filter: DocumentFilter) -> Steps[int]:
    keep = reading.predicate(condition_of(filter))
    found = yield from reading.heads(calls.layout, ids)
    kept = [key for key, head in found.items() if keep is None or keep(head.document())]
    return (yield from writing.delete(calls.layout, kept))
