"""The filter language: which documents a search may find, by their metadata.

    {"lang": "en", "year": {"$gte": 2000, "$lt": 2010}}             every condition holds
    {"$or": [{"tags": {"$contains": "news"}}, {"$not": {"author.name": "Anon"}}]}

A key reaches into nested objects with dots; a key that has a dot itself is looked up as it is first. Values
compare only with values of their own type: a number with a number (exactly, whatever its size), text with
text by code point, and True is not 1. A missing key matches `$ne`, `$nin`, `$is_empty` and what `$not`
makes of the others.

    $eq $ne $in $nin              a str, number, bool or None; $eq and $ne also a list of them
    $gt $gte $lt $lte             a number or a str
    $contains $any $all           the stored value is a list with this element, any of these, all of these
    $text_match[_insensitive]     the stored value is a str with this part
    $is_empty                     True: missing, None, "", [] or {}; False: anything else
    $and $or $not                 combine conditions; {"key": {"$not": {"$gt": 1}}} does, too
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import ge, gt, le, lt
from typing import Any, TypeAlias

from retrievers.errors import FilterError
from retrievers.filters.fields import MISSING, lookup, same_kind
from retrievers.types import Condition

Scalar: TypeAlias = str | int | float | bool | None
Value: TypeAlias = Scalar | tuple[Scalar, ...]

ORDER: Mapping[str, Callable[[Any, Any], bool]] = {"$gt": gt, "$gte": ge, "$lt": lt, "$lte": le}
LISTS = ("$in", "$nin", "$any", "$all")
TEXTS = ("$text_match", "$text_match_insensitive")
OPERATORS = ("$eq", "$ne", *ORDER, *LISTS, "$contains", *TEXTS, "$is_empty")
DEEPEST = 50  # levels of $and, $or and $not: far below the interpreter's and SQLite's own limits


class Filter(ABC):
    """A condition on a document's metadata."""

    @abstractmethod
    def matches(self, metadata: Mapping[str, Any]) -> bool:
        """Whether a document with this metadata is kept. The reference that SQL is tested against."""

    @property
    @abstractmethod
    def size(self) -> int:
        """How many comparisons it makes."""


@dataclass(frozen=True, slots=True)
class Compare(Filter):
    """One comparison: the value under a key, an operator of OPERATORS, and what it is compared with."""

    key: str
    operator: str
    value: Value

    def matches(self, metadata: Mapping[str, Any]) -> bool:
        found, value = lookup(metadata, self.key), self.value
        listed = value if isinstance(value, tuple) else (value,)
        match self.operator:
            case "$eq":
                return _equal(found, value)
            case "$ne":
                return not _equal(found, value)
            case "$in":
                return any(_equal(found, item) for item in listed)
            case "$nin":
                return not any(_equal(found, item) for item in listed)
            case "$contains" | "$any":
                return isinstance(found, list) and any(_holds(found, item) for item in listed)
            case "$all":
                return isinstance(found, list) and all(_holds(found, item) for item in listed)
            case "$text_match":
                return isinstance(found, str) and str(value) in found
            case "$text_match_insensitive":
                return isinstance(found, str) and str(value).casefold() in found.casefold()
            case "$is_empty":
                return (found is MISSING or found is None or found in ("", [], {})) == value
        return same_kind(found, value) and ORDER[self.operator](found, value)

    @property
    def size(self) -> int:
        return len(self.value) if self.operator in ("$any", "$all") and isinstance(self.value, tuple) else 1


@dataclass(frozen=True, slots=True)
class Combine(Filter):
    """All (`$and`), any (`$or`) or none (`$not`) of some conditions."""

    operator: str
    parts: tuple[Filter, ...]

    def matches(self, metadata: Mapping[str, Any]) -> bool:
        if self.operator == "$and":
            return all(part.matches(metadata) for part in self.parts)
        return any(part.matches(metadata) for part in self.parts) == (self.operator == "$or")

    @property
    def size(self) -> int:
        return sum(part.size for part in self.parts)


def _equal(found: Any, value: Value) -> bool:
    if isinstance(value, tuple):
        return (
            isinstance(found, list)
            and len(found) == len(value)
            and all(_equal(one, other) for one, other in zip(found, value, strict=True))
        )
    return same_kind(found, value) and bool(found == value)


def _holds(found: list[Any], value: Scalar) -> bool:
    return any(_equal(item, value) for item in found)


# Parse


def parse(filter: Mapping[str, Any] | Condition | None) -> Filter | None:
    """Check a filter and make it ready to use.

    Args:
        filter: a dict in the language of this module, a Filter, or None; an empty dict is None.
    Raises:
        FilterError: an unknown operator, or a value of the wrong type; the message names it.
    """
    if filter is None or isinstance(filter, Filter):
        return filter
    if not isinstance(filter, Mapping):
        raise FilterError(f"a filter is {_shown(filter)}: a dict is needed, such as {{'lang': 'en'}}.")
    return _parse_object(filter, 0) if filter else None


def _parse_object(filter: Mapping[Any, Any], depth: int) -> Filter:
    if depth > DEEPEST:
        raise FilterError(f"a filter is nested more than {DEEPEST} levels deep.")
    parts: list[Filter] = []
    for key, value in filter.items():
        if not isinstance(key, str):
            raise FilterError(f"a filter has the key {_shown(key)}: a str is needed.")
        if key in ("$and", "$or"):
            parts.append(Combine(key, tuple(_parse_parts(key, value, depth + 1))))
        elif key == "$not":
            if not isinstance(value, Mapping) or not value:
                raise FilterError(f"$not has {_shown(value)}: a filter is needed, such as {{'lang': 'en'}}.")
            parts.append(Combine("$not", (_parse_object(value, depth + 1),)))
        elif key.startswith("$"):
            raise FilterError(
                f"{key!r} is no operator that joins filters: use $and, $or or $not. "
                f"The others stand under a key: {{'lang': {{{key!r}: …}}}}."
            )
        else:
            _text(key, "a key")
            parts.append(_parse_condition(key, value, depth + 1))
    return parts[0] if len(parts) == 1 else Combine("$and", tuple(parts))


def _parse_parts(operator: str, value: object, depth: int) -> list[Filter]:
    filters = list(value) if isinstance(value, Sequence) and not isinstance(value, (str, bytes)) else []
    if not filters or not all(
        (isinstance(part, Mapping) and part) or isinstance(part, Filter) for part in filters
    ):
        raise FilterError(f"{operator} has {_shown(value)}: a list of at least one filter is needed.")
    return [part if isinstance(part, Filter) else _parse_object(part, depth) for part in filters]


def _parse_condition(key: str, value: object, depth: int) -> Filter:
    if not isinstance(value, Mapping):
        return Compare(key, "$eq", _value(key, "$eq", value))
    if depth > DEEPEST:
        raise FilterError(f"a filter is nested more than {DEEPEST} levels deep.")
    if not value:
        raise FilterError(f"{key!r} has no operator: write {{{key!r}: {{'$gte': 1}}}}, say.")
    parts: list[Filter] = []
    for operator, operand in value.items():
        if operator == "$not" and isinstance(operand, Mapping):
            parts.append(Combine("$not", (_parse_condition(key, operand, depth + 1),)))
        elif operator in OPERATORS:
            parts.append(Compare(key, operator, _value(key, operator, operand)))
        else:
            raise FilterError(
                f"{key!r} has the operator {_shown(operator)}: one of {' '.join(OPERATORS)} $not is needed. "
                "A key of a nested object is written with a dot: 'author.name'."
            )
    return parts[0] if len(parts) == 1 else Combine("$and", tuple(parts))


def _value(key: str, operator: str, value: object) -> Value:
    where = f"{operator} of {key!r}"
    if operator in LISTS or (operator in ("$eq", "$ne") and isinstance(value, (list, tuple))):
        if not isinstance(value, (list, tuple, set, frozenset)):
            raise FilterError(f"{where} has {_shown(value)}: a list is needed.")
        return tuple(_scalar(where, item) for item in value)
    if operator in TEXTS and not isinstance(value, str):
        raise FilterError(f"{where} has {_shown(value)}: a str is needed.")
    if operator == "$is_empty" and not isinstance(value, bool):
        raise FilterError(f"{where} has {_shown(value)}: True or False is needed.")
    if operator in ORDER and (isinstance(value, bool) or not isinstance(value, (str, int, float))):
        raise FilterError(f"{where} has {_shown(value)}: a number or a str is needed.")
    return _scalar(where, value)


def _scalar(where: str, value: object) -> Scalar:
    if isinstance(value, str):
        return _text(value, where)
    if isinstance(value, float) and not math.isfinite(value):
        raise FilterError(f"{where} has {value}, which metadata cannot hold.")
    if value is None or isinstance(value, (bool, int, float)):
        return value
    raise FilterError(
        f"{where} has {_shown(value)} of type {type(value).__name__}: a str, number, bool or None is needed."
    )


def _text(value: str, where: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise FilterError(f"{where} has half of a surrogate pair: {_shown(value)}.") from None
    return value


def _shown(value: object) -> str:
    whole = repr(value)
    return whole if len(whole) <= 60 else f"{whole[:60]}…"
