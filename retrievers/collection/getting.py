"""Stored documents by their ids, by a filter, or a page at a time."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from itertools import islice

from retrievers.collection import validate
from retrievers.collection.searching import condition_of
from retrievers.errors import InvalidInputError
from retrievers.store import Store
from retrievers.types import Document, DocumentFilter


def documents(
    store: Store,
    ids: Iterable[str] | None,
    filter: DocumentFilter | None,
    limit: int | None,
    after: str | None,
) -> list[Document]:
    """What Collection.get returns, which says what the arguments are.

    Raises:
        InvalidInputError: ids beside another argument, or there is no document of the id `after`.
    """
    if ids is not None:
        if filter is not None or limit is not None or after is not None:
            raise InvalidInputError("get takes ids, or filter, limit and after, not both.")
        return store.get(validate.identifiers(ids))
    condition = condition_of(filter)
    if limit is None and after is None:
        with store.read() as view:
            return view.matching(condition)
    most = sys.maxsize if limit is None else validate.count(limit, "limit")
    begin = None if after is None else validate.identifier(after)
    if callable(condition):
        found = (one for one in store.page(None, limit=sys.maxsize, after=begin) if condition(one))
        return list(islice(found, most))
    return store.page(condition, limit=most, after=begin)
