"""A filter as SQL over the catalogue, equal to its Python predicate."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from retrievers.errors import FilterError
from retrievers.filters.fields import encode, needle
from retrievers.filters.language import Combine, Compare, Filter, Value

LONG_LIST = 100  # values of one $in that are bound one by one; SQLite bounds their number
FIELD = "SELECT key FROM fields WHERE path = (SELECT path FROM paths WHERE name = ?)"
INDEXED_FIELD = (
    "SELECT key FROM fields INDEXED BY field_values "
    "WHERE indexed = 1 AND path = (SELECT path FROM paths WHERE name = ?)"
)
ORDERED = ("value = ?", "value > ?", "value >= ?", "value < ?", "value <= ?", "value IN (?")  # an index helps
EMPTY = (encode(None), encode(""), encode([]), encode({}))


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
    condition, bound, negated = _condition(filter.operator, filter.value)
    ordered = filter.key in indexed and condition.startswith(ORDERED)
    sql = (
        f"documents.key {'NOT ' if negated else ''}IN ({INDEXED_FIELD if ordered else FIELD} AND {condition})"
    )
    return sql, [filter.key, *bound]


def _condition(operator: str, value: Value) -> tuple[str, list[Any], bool]:
    """Condition on the column `value`, what it binds, and whether the keys that fulfil it are left out."""
    listed = value if isinstance(value, tuple) else (value,)
    if operator in ("$eq", "$ne"):
        return "value = ?", [encode(list(value) if isinstance(value, tuple) else value)], operator == "$ne"
    if operator in ("$in", "$nin"):
        values = [encode(item) for item in listed]
        if len(values) > LONG_LIST:
            text = "[" + ",".join(f'"{item.hex().upper()}"' for item in values) + "]"
            return "hex(value) IN (SELECT value FROM json_each(?))", [text], operator == "$nin"
        return f"value IN ({','.join('?' * len(values))})", list(values), operator == "$nin"
    if operator in ("$contains", "$any", "$all"):
        word = " AND " if operator == "$all" else " OR "
        tests = word.join("instr(value, ?) > 0" for _ in listed) or str(int(operator == "$all"))
        return f"(substr(value, 1, 1) = ? AND ({tests}))", [encode([]), *map(needle, listed)], False
    if operator == "$text_match":
        return (
            "(substr(value, 1, 1) = ? AND instr(substr(value, 2), ?) > 0)",
            [encode(""), str(value).encode()],
            False,
        )
    if operator == "$text_match_insensitive":
        return "(substr(value, 1, 1) = ? AND has_text(value, ?))", [encode(""), str(value).casefold()], False
    if operator == "$is_empty":
        return f"value NOT IN ({','.join('?' * len(EMPTY))})", list(EMPTY), bool(value)
    # A range ends where the encoding of its type ends: numbers are not compared with texts.
    kind, bound = encode(value)[:1], encode(value)
    following = bytes([kind[0] + 1])
    comparison = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}[operator]
    if operator in ("$gt", "$gte"):
        return f"value {comparison} ? AND value < ?", [bound, following], False
    return f"value {comparison} ? AND value >= ?", [bound, kind], False
