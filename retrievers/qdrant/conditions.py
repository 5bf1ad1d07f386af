"""The filter language as conditions of Qdrant on the fields of retrievers.qdrant.fields.

Not every comparison can be said exactly: a filter becomes a pair of conditions, one that keeps at least what the filter
keeps and one that keeps at most that. `$not` swaps the two. The server answers the first; the Python predicate decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from qdrant_client import models

from retrievers.filters import Filter
from retrievers.filters.language import Combine, Compare
from retrievers.qdrant.fields import (
    A_LIST,
    BYTES,
    ELEMENT,
    EQUAL,
    HASHES,
    NOT_EMPTY,
    NUMBERS,
    TENANT,
    TEXTS,
    between,
    coarse,
    name_of,
    ordered,
    token,
)

Condition: TypeAlias = Any
"""True keeps everything, False nothing; else a condition of qdrant_client.models."""

EXACT_TO = 2**53  # a float holds every integer below it


@dataclass(frozen=True, slots=True)
class Bounds:
    """Conditions between which a filter lies.

    Attributes:
        upper: keeps what the filter keeps, and perhaps more.
        lower: keeps nothing that the filter does not keep.
    """

    upper: Condition
    lower: Condition

    @property
    def exact(self) -> bool:
        """Whether the server's answer is the filter's."""
        return bool(self.upper is self.lower or self.upper == self.lower)


def bounds_of(filter: Filter | None, tenant: str | None = None) -> Bounds:
    """The conditions of a filter; another kind of Filter than the language's own is between all and nothing.

    Args:
        tenant: the metadata key that is the collection's tenant.
    """
    if filter is None:
        return Bounds(True, True)
    if isinstance(filter, Combine):
        parts = [bounds_of(part, tenant) for part in filter.parts]
        if filter.operator == "$and":
            return Bounds(every([one.upper for one in parts]), every([one.lower for one in parts]))
        either = Bounds(some([one.upper for one in parts]), some([one.lower for one in parts]))
        return Bounds(none(either.lower), none(either.upper)) if filter.operator == "$not" else either
    if isinstance(filter, Compare):
        return _compare(filter, HASHES if filter.key != tenant else TENANT)
    return Bounds(True, False)


def _compare(filter: Compare, hashes: str) -> Bounds:
    key, value = filter.key, filter.value
    listed = value if isinstance(value, tuple) else (value,)
    if filter.operator in ("$eq", "$ne"):
        return _alike(
            _holds(key, [list(value)] if isinstance(value, tuple) else [value], hashes), "$ne", filter
        )
    if filter.operator in ("$in", "$nin"):
        return _alike(_holds(key, list(listed), hashes), "$nin", filter)
    if filter.operator in ("$contains", "$any"):
        return _same(_any([token(key, ELEMENT, item) for item in listed], hashes))
    if filter.operator == "$all":
        elements = [_any([token(key, ELEMENT, item)], hashes) for item in listed]
        return _same(every([_any([token(key, A_LIST)], hashes), *elements]))
    if filter.operator == "$is_empty":
        full = _any([token(key, NOT_EMPTY)], hashes)
        return _same(none(full) if value else full)
    if filter.operator in ("$text_match", "$text_match_insensitive"):
        return Bounds(_range(f"{TEXTS}.{name_of(key)}.0", gte=0), False)
    if isinstance(value, str):
        return _text_range(key, filter.operator, value)
    return _number_range(key, filter.operator, value)


def _holds(key: str, values: Sequence[Any], hashes: str) -> Condition:
    """The value under a key is one of these, or is a list that holds one: a list is compared as a whole."""
    made = [token(key, EQUAL, value) for value in values]
    made += [token(key, ELEMENT, value) for value in values if not isinstance(value, list)]
    return _any(made, hashes)


def _alike(condition: Condition, negative: str, filter: Compare) -> Bounds:
    return _same(none(condition) if filter.operator == negative else condition)


def _same(condition: Condition) -> Bounds:
    return Bounds(condition, condition)


# Ranges


def _number_range(key: str, operator: str, value: Any) -> Bounds:
    """Coarse numbers keep the order of all numbers, but near ones share one.

    A bound that is coarse itself parts the numbers below it from the others; those just above it look equal to it.
    """
    path, bound = f"{NUMBERS}.{name_of(key)}", coarse(value)
    below, above = between(bound)
    parts = operator in ("$gte", "$lt") and bound == value and abs(bound) < EXACT_TO
    if operator in ("$gt", "$gte"):
        upper = _range(path, gte=below)
        return _same(upper) if parts else Bounds(upper, _range(path, gt=above))
    lower = _range(path, lt=below)
    return _same(lower) if parts else Bounds(_range(path, lt=above), lower)


def _text_range(key: str, operator: str, value: str) -> Bounds:
    """Texts are compared by their first bytes: exactly, but for a bound that has no end among them."""
    path, numbers = f"{TEXTS}.{name_of(key)}", ordered(value)
    way = operator[1:3]
    strictly = some(
        [
            every(
                [
                    *(_equal(path, place, numbers[place]) for place in range(last)),
                    _digit(path, last, way, numbers),
                ]
            )
            for last in range(len(numbers))
        ]
    )
    alike = every([_equal(path, place, number) for place, number in enumerate(numbers)])
    if len(value.encode()) < BYTES:
        return _same(strictly if operator in ("$gt", "$lt") else some([strictly, alike]))
    return Bounds(some([strictly, alike]), strictly)


def _digit(path: str, place: int, way: str, numbers: Sequence[int]) -> Condition:
    return _range(f"{path}.{place}", **{way: numbers[place]})


def _equal(path: str, place: int, number: int) -> Condition:
    return _range(f"{path}.{place}", gte=number, lte=number)


def _range(path: str, **bounds: float) -> Condition:
    return models.FieldCondition(key=path, range=models.Range(**bounds))


# The algebra: constants never reach the server, which takes an empty list of alternatives for everything


def _any(hashes: Sequence[str], field: str) -> Condition:
    return models.FieldCondition(key=field, match=models.MatchAny(any=list(hashes))) if hashes else False


def every(conditions: Sequence[Condition]) -> Condition:
    """All of some conditions."""
    if any(one is False for one in conditions):
        return False
    left = [one for one in conditions if one is not True]
    return (left[0] if len(left) == 1 else models.Filter(must=left)) if left else True


def some(conditions: Sequence[Condition]) -> Condition:
    """At least one of some conditions."""
    if any(one is True for one in conditions):
        return True
    left = [one for one in conditions if one is not False]
    return (left[0] if len(left) == 1 else models.Filter(should=left)) if left else False


def none(condition: Condition) -> Condition:
    """The opposite of a condition."""
    return (not condition) if isinstance(condition, bool) else models.Filter(must_not=[condition])


def as_filter(condition: Condition) -> models.Filter | None:
    """A condition as a request takes it; None keeps everything. False is for the caller: nothing has to be asked."""
    if condition is True:
        return None
    return condition if isinstance(condition, models.Filter) else models.Filter(must=[condition])


def matches(field: str, *values: Any) -> Condition:
    """A keyword or integer field has one of these values."""
    if len(values) == 1:
        return models.FieldCondition(key=field, match=models.MatchValue(value=values[0]))
    return models.FieldCondition(key=field, match=models.MatchAny(any=list(values))) if values else False


def at_most(field: str, value: int) -> Condition:
    """A number field is not greater than this."""
    return models.FieldCondition(key=field, range=models.Range(lte=value))
