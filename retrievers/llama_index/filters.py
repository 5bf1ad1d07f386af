"""LlamaIndex's MetadataFilters in the collection's own language."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
)

from retrievers import filters as language
from retrievers.collection.validate import shown
from retrievers.errors import InvalidTypeError
from retrievers.types import Document

OPERATORS = {
    FilterOperator.EQ: "$eq",
    FilterOperator.NE: "$ne",
    FilterOperator.GT: "$gt",
    FilterOperator.GTE: "$gte",
    FilterOperator.LT: "$lt",
    FilterOperator.LTE: "$lte",
    FilterOperator.IN: "$in",
    FilterOperator.NIN: "$nin",
    FilterOperator.ANY: "$any",
    FilterOperator.ALL: "$all",
    FilterOperator.CONTAINS: "$contains",
    FilterOperator.TEXT_MATCH: "$text_match",
    FilterOperator.TEXT_MATCH_INSENSITIVE: "$text_match_insensitive",
    FilterOperator.IS_EMPTY: "$is_empty",
}


NEVER: dict[str, Any] = {"any key": {"$in": []}}  # matches nothing


def translate(filters: MetadataFilters | None) -> dict[str, Any] | None:
    """MetadataFilters, nested as deep as they come, as a filter of Collection.search.

    Conditions mean what they mean in LlamaIndex: NOT keeps what matches none of the filters, and no
    condition is AND. No filters at all match everything, whatever the condition.

    Returns:
        A filter, or None for what matches everything.
    Raises:
        InvalidTypeError: filters are something else, a dict say.
    """
    if filters is None:
        return None
    if not isinstance(filters, MetadataFilters):
        raise InvalidTypeError(
            f"filters is {shown(filters)} of type {type(filters).__name__}: give MetadataFilters(filters="
            "[MetadataFilter(key='lang', value='en')])."
        )
    if not filters.filters:
        return None
    parts = [_translate_one(part) for part in filters.filters]
    limiting = [part for part in parts if part is not None]
    if filters.condition in (None, FilterCondition.AND):
        return {"$and": limiting} if limiting else None
    if len(limiting) < len(parts):
        return None if filters.condition is FilterCondition.OR else NEVER
    return {"$or": parts} if filters.condition is FilterCondition.OR else {"$not": {"$or": parts}}


def predicate(condition: dict[str, Any] | None) -> Callable[[Document], bool]:
    """What translate returned, as a function of a document."""
    parsed = language.parse(condition)
    return lambda document: parsed is None or parsed.matches(document.metadata)


def _translate_one(part: MetadataFilter | MetadataFilters) -> dict[str, Any] | None:
    if isinstance(part, MetadataFilters):
        return translate(part)
    # LlamaIndex leaves the value of IS_EMPTY open; the collection's $is_empty asks yes or no.
    value = True if part.operator is FilterOperator.IS_EMPTY else part.value
    return {part.key: {OPERATORS[part.operator]: value}}
