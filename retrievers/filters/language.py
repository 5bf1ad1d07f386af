"""The filter language: which documents a search may find, by their metadata.

    {"lang": "en", "year": {"$gte": 2000, "$lt": 2010}}             every condition holds
    {"$or": [{"tags": "news"}, {"$not": {"author.name": "Anon"}}]}

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

Where the stored value is a list, `$eq` and `$in` match it by any of its elements: {"tags": "news"} keeps
{"tags": ["news", "sport"]}, as in MongoDB, Pinecone and Qdrant. `$ne` and `$nin` keep exactly what `$eq` and
`$in` leave out. `$eq` and `$ne` with a list compare it as a whole, element by element in order. Ranges and text
matches never look into lists.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field
from operator import ge, gt, le, lt
from typing import Any, TypeAlias

from retrievers import arguments
from retrievers.arguments import shown
from retrievers.errors import FilterError, InvalidInputError, InvalidTypeError
from retrievers.filters.fields import MISSING, identity, lookup, same_kind

Scalar: TypeAlias = str | int | float | bool | None
Value: TypeAlias = Scalar | tuple[Scalar, ...]

ORDER: Mapping[str, Callable[[Any, Any], bool]] = {"$gt": gt, "$gte": ge, "$lt": lt, "$lte": le}
LISTS = ("$in", "$nin", "$any", "$all")
TEXTS = ("$text_match", "$text_match_insensitive")
OPERATORS = ("$eq", "$ne", *ORDER, *LISTS, "$contains", *TEXTS, "$is_empty")
JOINING = ("$and", "$or", "$not")


class Filter(ABC):
    """A condition on a document's metadata."""

    @abstractmethod
    def matches(self, metadata: Mapping[str, Any]) -> bool:
        """Whether a document with this metadata is kept. The reference that SQL is tested against."""

    @property
    @abstractmethod
    def size(self) -> int:
        """How many comparisons it makes in SQL."""

    @property
    def levels(self) -> int:
        """How many conditions stand inside one another."""
        return 1

    @property
    def weight(self) -> tuple[int, int]:
        """How many conditions and values it has, and the bytes of its texts: what `retrievers.arguments` limits."""
        return 1, 0


@dataclass(frozen=True, slots=True)
class Compare(Filter):
    """One comparison: the value under a key, an operator of OPERATORS, and what it is compared with.

    Raises:
        FilterError: an unknown operator, or a value of the wrong type.
    """

    key: str
    operator: str
    value: Value
    weight: tuple[int, int] = field(init=False, repr=False, compare=False)
    _members: frozenset[tuple[bytes, Any]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        key = _text(self.key, "a key", arguments.PATH_BYTES)
        if self.operator not in OPERATORS:
            raise FilterError(
                f"{shown(key)} has the operator {shown(self.operator)}: one of {' '.join(OPERATORS)} $not is "
                "needed. A key of a nested object is written with a dot: 'author.name'."
            )
        value = _value(key, self.operator, self.value)
        listed = value if isinstance(value, tuple) else (value,)
        texts = len(key.encode()) + sum(len(item.encode()) for item in listed if isinstance(item, str))
        members = [identity(item) for item in listed] if self.operator in ("$in", "$nin") else []
        for name, made in (
            ("key", key),
            ("value", value),
            ("weight", (1 + len(listed), texts)),
            ("_members", frozenset(member for member in members if member is not None)),
        ):
            object.__setattr__(self, name, made)
        _check_weight(self.weight)

    def matches(self, metadata: Mapping[str, Any]) -> bool:
        found, value = lookup(metadata, self.key), self.value
        listed = value if isinstance(value, tuple) else (value,)
        match self.operator:
            case "$eq":
                return _equal_or_held(found, value)
            case "$ne":
                return not _equal_or_held(found, value)
            case "$in":
                return self._is_member(found)
            case "$nin":
                return not self._is_member(found)
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

    def _is_member(self, found: Any) -> bool:
        return any(identity(one) in self._members for one in (found if isinstance(found, list) else [found]))

    @property
    def size(self) -> int:
        return len(self.value) if self.operator in ("$any", "$all") and isinstance(self.value, tuple) else 1


@dataclass(frozen=True, slots=True)
class Combine(Filter):
    """All (`$and`), any (`$or`) or none (`$not`) of some conditions.

    Raises:
        FilterError: another operator, no condition, or more than the limits of retrievers.arguments.
    """

    operator: str
    parts: tuple[Filter, ...]
    size: int = field(init=False, repr=False, compare=False)
    levels: int = field(init=False, repr=False, compare=False)
    weight: tuple[int, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        parts = tuple(self.parts) if isinstance(self.parts, (list, tuple)) else ()
        if self.operator not in JOINING or not parts or not all(isinstance(part, Filter) for part in parts):
            raise FilterError(
                f"{shown(self.operator)} has {shown(self.parts)}: $and, $or or $not with at least one filter is "
                "needed."
            )
        # Counted once, bottom up: a filter may hold another one in many places.
        for name, made in (
            ("parts", parts),
            ("size", sum(part.size for part in parts)),
            ("levels", 1 + max(part.levels for part in parts)),
            ("weight", (1 + sum(part.weight[0] for part in parts), sum(part.weight[1] for part in parts))),
        ):
            object.__setattr__(self, name, made)
        check_levels(self.levels - 1)
        _check_weight(self.weight)

    def matches(self, metadata: Mapping[str, Any]) -> bool:
        if self.operator == "$and":
            return all(part.matches(metadata) for part in self.parts)
        return any(part.matches(metadata) for part in self.parts) == (self.operator == "$or")


def _equal(found: Any, value: Value) -> bool:
    if isinstance(value, tuple):
        return (
            isinstance(found, list)
            and len(found) == len(value)
            and all(_equal(one, other) for one, other in zip(found, value, strict=True))
        )
    return same_kind(found, value) and bool(found == value)


def _equal_or_held(found: Any, value: Value) -> bool:
    """Equality as `$eq` means it: a list is also matched by each of its elements."""
    if isinstance(found, list) and not isinstance(value, tuple):
        return _holds(found, value)
    return _equal(found, value)


def _holds(found: list[Any], value: Scalar) -> bool:
    return any(_equal(item, value) for item in found)


def check_levels(levels: int) -> None:
    if levels > arguments.FILTER_LEVELS:
        raise FilterError(
            f"a filter is nested more than {arguments.FILTER_LEVELS} levels deep, which is the limit."
        )


def _check_weight(weight: tuple[int, int]) -> None:
    if weight[0] > arguments.FILTER_VALUES:
        raise FilterError(
            f"a filter has {weight[0]} conditions and values or more: {arguments.FILTER_VALUES} is the limit. "
            "Documents by their ids are found faster by ids=[…]."
        )
    if weight[1] > arguments.FILTER_BYTES:
        raise FilterError(
            f"a filter has texts of {weight[1]} bytes together: {arguments.FILTER_BYTES} is the limit."
        )


def _value(key: str, operator: str, value: object) -> Value:
    where = f"{operator} of {shown(key)}"
    if operator in LISTS or (operator in ("$eq", "$ne") and isinstance(value, (list, tuple))):
        return tuple(_scalar(where, item) for item in _list(where, value))
    value = arguments.plain(value)
    if operator in TEXTS and not isinstance(value, str):
        raise FilterError(f"{where} has {shown(value)}: a str is needed.")
    if operator == "$is_empty" and not isinstance(value, bool):
        raise FilterError(f"{where} has {shown(value)}: True or False is needed.")
    if operator in ORDER and (isinstance(value, bool) or not isinstance(value, (str, int, float))):
        raise FilterError(f"{where} has {shown(value)}: a number or a str is needed.")
    return _scalar(where, value)


def _list(where: str, value: Any) -> list[Any]:
    """The values of `$in` and its kin. An iterator is refused: the filter would be another one the next time."""
    try:
        if isinstance(value, Set):
            return list(value)
        if arguments.is_iterator(value):
            raise InvalidTypeError
        return arguments.listed(value, where, "value", arguments.FILTER_VALUES + 1)
    except InvalidTypeError:
        raise FilterError(f"{where} has {shown(value)}: a list is needed.") from None


def _scalar(where: str, value: object) -> Scalar:
    value = arguments.plain(value)
    if isinstance(value, str):
        return _text(value, where, arguments.FILTER_BYTES)
    if isinstance(value, float) and not math.isfinite(value):
        raise FilterError(f"{where} has {value}, which metadata cannot hold.")
    if isinstance(value, int) and value.bit_length() > arguments.NUMBER_BITS:
        raise FilterError(
            f"{where} has {shown(value)}: {arguments.NUMBER_BITS} bits is the limit, in metadata as in filters."
        )
    if value is None or isinstance(value, (bool, int, float)):
        return value
    raise FilterError(
        f"{where} has {shown(value)} of type {type(value).__name__}: a str, number, bool or None is needed."
    )


def _text(value: object, where: str, most: int) -> str:
    try:
        return arguments.text(value, f"{where} {shown(value)}", most)
    except (InvalidInputError, InvalidTypeError) as error:
        raise FilterError(f"a filter cannot be used: {error}") from None
