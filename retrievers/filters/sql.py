"""A filter as SQL over the catalogue, equal to its Python predicate."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any

from retrievers.errors import FilterError
from retrievers.filters.fields import encode, needle
from retrievers.filters.language import Combine, Compare, Filter, Value

LONG_LIST = 100  # values of one $in that are bound one by one; SQLite bounds their number
FEW = 20  # values of one $in that are looked for in a stored list one by one
# Ranges of `value` that hold all values of one type, so that an index on `value` finds them.
IN_LISTS = "value >= x'05' AND value < x'06'"
NEVER = "0"  # by itself: beside a condition on the index it makes SQLite give the index up, which then is an error
HELD = (
    "EXISTS (SELECT 1 FROM json_each(list_elements(fields.value)) AS one "
    "WHERE one.value IN (SELECT value FROM json_each(?)))"
)
FIELD = "SELECT key FROM fields WHERE path = (SELECT path FROM paths WHERE name = ?)"
INDEXED_FIELD = (
    "SELECT key FROM fields INDEXED BY field_values "
    "WHERE indexed = 1 AND path = (SELECT path FROM paths WHERE name = ?)"
)
ORDERED = ("value = ?", "value > ?", "value >= ", "value < ?", "value <= ?", "value IN (?")  # an index helps
EMPTY = (encode(None), encode(""), encode([]), encode({}))

Condition = tuple[str, list[Any]]
"""An expression over the column `value` without a value in it, and the values to bind."""


def to_sql(filter: Filter, indexed: Collection[str] = ()) -> tuple[str, list[Any]]:
    """A filter as an SQL expression over the column `documents.key` of the catalogue.

    Args:
        filter: what parse returned.
        indexed: keys that the catalogue has an index on.
    Returns:
        The expression, which has no value in it, and the values to bind.
    """
    if isinstance(filter, Combine):
        made = [to_sql(part, indexed) for part in filter.parts]
        values = [value for _, bound in made for value in bound]
        joined = f"({(' AND ' if filter.operator == '$and' else ' OR ').join(text for text, _ in made)})"
        return (f"(NOT {joined})" if filter.operator == "$not" else joined), values
    if not isinstance(filter, Compare):
        raise FilterError(f"{type(filter).__name__} is no filter of this module: use filters.parse.")
    conditions = _conditions(filter)
    if filter.key in indexed and all(condition.startswith(ORDERED) for condition, _ in conditions):
        # One SELECT for each condition: joined by OR, SQLite would search the index for neither.
        select = " UNION ALL ".join(f"{INDEXED_FIELD} AND {condition}" for condition, _ in conditions)
        bound = [value for _, values in conditions for value in (filter.key, *values)]
    else:
        select = f"{FIELD} AND ({' OR '.join(condition for condition, _ in conditions)})"
        bound = [filter.key, *(value for _, values in conditions for value in values)]
    negated = filter.operator in ("$ne", "$nin") or (filter.operator == "$is_empty" and filter.value is True)
    return f"documents.key {'NOT ' if negated else ''}IN ({select})", bound


def _conditions(filter: Compare) -> list[Condition]:
    """The ways in which a stored value fulfils an operator; for `$ne`, `$nin` and `$is_empty`, in which it fails."""
    operator, value = filter.operator, filter.value
    listed = value if isinstance(value, tuple) else (value,)
    match operator:
        case "$eq" | "$ne" if isinstance(value, tuple):
            return [("value = ?", [encode(list(value))])]
        case "$eq" | "$ne":
            return [("value = ?", [encode(value)]), (f"{IN_LISTS} AND instr(value, ?) > 0", [needle(value)])]
        case "$in" | "$nin":
            return _members(listed)
        case "$contains" | "$any" | "$all":
            if not listed:  # a list holds all of no values, and none of them
                return [(IN_LISTS if operator == "$all" else NEVER, [])]
            word = " AND " if operator == "$all" else " OR "
            tests = word.join("instr(value, ?) > 0" for _ in listed)
            return [(f"{IN_LISTS} AND ({tests})", list(map(needle, listed)))]
        case "$text_match":
            test = "substr(value, 1, 1) = ? AND instr(substr(value, 2), ?) > 0"
            return [(test, [encode(""), str(value).encode()])]
        case "$text_match_insensitive":
            test = "substr(value, 1, 1) = ? AND has_text(value, ?)"
            return [(test, [encode(""), str(value).casefold()])]
        case "$is_empty":
            return [(f"value NOT IN ({','.join('?' * len(EMPTY))})", list(EMPTY))]
    # A range ends where the encoding of its type ends: numbers are not compared with texts.
    kind, bound = encode(value)[:1], encode(value)
    following = bytes([kind[0] + 1])
    comparison = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}[operator]
    if operator in ("$gt", "$gte"):
        return [(f"value {comparison} ? AND value < ?", [bound, following])]
    return [(f"value {comparison} ? AND value >= ?", [bound, kind])]


def _members(values: Sequence[Value]) -> list[Condition]:
    """Equal to one of some scalars, or a list that holds one of them."""
    encoded = [encode(value) for value in values]
    text = json.dumps([item.hex().upper() for item in encoded])
    if len(values) <= LONG_LIST:
        equal: Condition = f"value IN ({','.join('?' * len(values))})", list(encoded)
    else:
        equal = "hex(value) IN (SELECT value FROM json_each(?))", [text]
    if len(values) <= FEW:
        tests = " OR ".join("instr(value, ?) > 0" for _ in values) or "0"
        return [equal, (f"{IN_LISTS} AND ({tests})", list(map(needle, values)))]
    return [equal, (f"{IN_LISTS} AND {HELD}", [text])]
