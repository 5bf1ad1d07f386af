"""What is read of a collection: heads by id or by filter, windows with their rows, and counts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

from retrievers import filters
from retrievers.qdrant.conditions import Condition, as_filter, bounds_of, every, matches, some
from retrievers.qdrant.points import (
    HEAD_FIELDS,
    NUMBER,
    SCALES,
    SOURCE,
    TOKENS,
    WINDOW_FIELDS,
    Head,
    StoredWindow,
    head_id,
    head_of,
    in_order,
    window_id,
    window_of,
)
from retrievers.qdrant.schema import Layout
from retrievers.qdrant.steps import Request, Steps
from retrievers.store import format_1
from retrievers.types import Document

PAGE = 256  # heads that one request reads
WINDOW_PAGE = 64  # windows with their rows that one request reads: some megabytes

Chosen: TypeAlias = Callable[[Document], bool] | filters.Filter | None
"""What a filter has become: a function of a document, a parsed filter, or nothing."""


def heads(layout: Layout, ids: Iterable[str], fields: Sequence[str] = HEAD_FIELDS) -> Steps[dict[str, Head]]:
    """The heads of those documents that are stored, by id."""
    found: dict[str, Head] = {}
    unique = list(dict.fromkeys(ids))
    for first in range(0, len(unique), PAGE):
        points = [head_id(key) for key in unique[first : first + PAGE]]
        arguments = {"ids": points, "with_payload": list(fields), "with_vectors": False}
        for record in (yield Request("retrieve", {"collection_name": layout.name, **arguments})):
            head = head_of(record.payload)
            found[head.id] = head
    return found


def matching(layout: Layout, chosen: Chosen, fields: Sequence[str] = HEAD_FIELDS) -> Steps[list[Head]]:
    """The heads of all documents that a filter keeps, in the order of insertion.

    A head's filter fields are written in one point with its metadata, so that the server never misses one.
    """
    keep = predicate(chosen)
    upper = bounds_of(chosen, layout.tenant).upper if isinstance(chosen, filters.Filter) else True
    condition = every([matches(NUMBER, 0), upper])
    found: dict[str, Head] = {}
    for head in (yield from _scrolled(layout, condition, fields)):
        if keep is None or keep(head.document()):
            found[head.id] = head
    return in_order(list(found.values()))


def _scrolled(layout: Layout, condition: Condition, fields: Sequence[str]) -> Steps[list[Head]]:
    """The heads that fulfil a condition, in the server's order; one that is changed meanwhile may stand twice."""
    found: list[Head] = []
    offset: Any = None
    while condition is not False:
        arguments = {"scroll_filter": as_filter(condition), "limit": PAGE, "offset": offset}
        arguments |= {"with_payload": list(fields), "with_vectors": False}
        records, offset = yield Request("scroll", {"collection_name": layout.name, **arguments})
        found += [head_of(record.payload) for record in records]
        if offset is None:
            break
    return found


def of_sources(layout: Layout, sources: Sequence[str]) -> Steps[list[Head]]:
    """The heads of the documents that were cut from any of some sources, in the order of insertion.

    A document without a source is its own. Nodes of LlamaIndex that were written before documents had a source are
    found by what their metadata say.
    """
    wanted = frozenset(sources)
    found = yield from heads(layout, sources)
    for first in range(0, len(sources), PAGE):
        part = sources[first : first + PAGE]
        earlier = bounds_of(format_1.cut_from(list(part)), None).upper
        condition = every([matches(NUMBER, 0), some([matches(SOURCE, *part), earlier])])
        for head in (yield from _scrolled(layout, condition, HEAD_FIELDS)):
            found[head.id] = head
    documents = {key: head.document() for key, head in found.items()}
    return in_order([head for key, head in found.items() if (documents[key].source or key) in wanted])


def predicate(chosen: Chosen) -> Callable[[Document], bool] | None:
    """What decides whether a document is kept; None keeps all."""
    if isinstance(chosen, filters.Filter):
        return lambda document: chosen.matches(document.metadata)
    return chosen


def windows(
    layout: Layout, wanted: Sequence[tuple[str, str, int]]
) -> Steps[dict[tuple[str, str, int], StoredWindow]]:
    """Windows with their rows, by document, version and number; one that is not stored is left out."""
    found: dict[tuple[str, str, int], StoredWindow] = {}
    unique = list(dict.fromkeys(wanted))
    for first in range(0, len(unique), WINDOW_PAGE):
        points = [window_id(*one) for one in unique[first : first + WINDOW_PAGE]]
        arguments = {"ids": points, "with_payload": [*WINDOW_FIELDS, SCALES], "with_vectors": [TOKENS]}
        for record in (yield Request("retrieve", {"collection_name": layout.name, **arguments})):
            window = window_of(record, layout.form)
            found[window.document, window.version, window.number] = window
    return {one: found[one] for one in unique if one in found}


def count(layout: Layout) -> Steps[int]:
    """How many documents are stored."""
    return (yield from counted(layout, matches(NUMBER, 0), exact=True))


def counted(layout: Layout, condition: Condition, *, exact: bool) -> Steps[int]:
    """How many points fulfil a condition."""
    arguments = {"count_filter": as_filter(condition), "exact": exact}
    answer = yield Request("count", {"collection_name": layout.name, **arguments})
    return int(answer.count)
