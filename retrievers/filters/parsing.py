"""Dictionaries in the filter language to filters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from retrievers.arguments import shown
from retrievers.errors import FilterError
from retrievers.filters.language import Combine, Compare, Filter, check_levels
from retrievers.types import Condition


def parse(filter: Mapping[str, Any] | Condition | None) -> Filter | None:
    """Check a filter and make it ready to use.

    Args:
        filter: a dict in the language of this module, a Filter, or None; an empty dict is None, which keeps all.
    Raises:
        FilterError: an unknown operator, a value of the wrong type, or more than a limit of retrievers.arguments;
            the message names it.
    """
    if filter is None or isinstance(filter, Filter):
        return filter
    if not isinstance(filter, Mapping):
        raise FilterError(f"a filter is {shown(filter)}: a dict is needed, such as {{'lang': 'en'}}.")
    return _parse_object(filter, 0) if filter else None


def _parse_object(filter: Mapping[Any, Any], depth: int) -> Filter:
    check_levels(depth)
    parts: list[Filter] = []
    for key, value in filter.items():
        if not isinstance(key, str):
            raise FilterError(f"a filter has the key {shown(key)}: a str is needed.")
        if key in ("$and", "$or"):
            parts.append(Combine(key, tuple(_parse_parts(key, value, depth + 1))))
        elif key == "$not":
            if not isinstance(value, Mapping) or not value:
                raise FilterError(f"$not has {shown(value)}: a filter is needed, such as {{'lang': 'en'}}.")
            parts.append(Combine("$not", (_parse_object(value, depth + 1),)))
        elif key.startswith("$"):
            raise FilterError(
                f"{shown(key)} is no operator that joins filters: use $and, $or or $not. "
                f"The others stand under a key: {{'lang': {{{shown(key)}: …}}}}."
            )
        else:
            parts.append(_parse_condition(key, value, depth + 1))
    return parts[0] if len(parts) == 1 else Combine("$and", tuple(parts))


def _parse_parts(operator: str, value: object, depth: int) -> list[Filter]:
    filters = list(value) if isinstance(value, Sequence) and not isinstance(value, (str, bytes)) else []
    if not filters or not all(
        (isinstance(part, Mapping) and part) or isinstance(part, Filter) for part in filters
    ):
        raise FilterError(f"{operator} has {shown(value)}: a list of at least one filter is needed.")
    return [part if isinstance(part, Filter) else _parse_object(part, depth) for part in filters]


def _parse_condition(key: str, value: object, depth: int) -> Filter:
    if not isinstance(value, Mapping):
        return Compare(key, "$eq", value)  # type: ignore[arg-type]
    check_levels(depth)
    if not value:
        raise FilterError(f"{shown(key)} has no operator: write {{{shown(key)}: {{'$gte': 1}}}}, say.")
    parts: list[Filter] = []
    for operator, operand in value.items():
        if operator == "$not" and isinstance(operand, Mapping):
            parts.append(Combine("$not", (_parse_condition(key, operand, depth + 1),)))
        else:
            parts.append(Compare(key, operator, operand))
    return parts[0] if len(parts) == 1 else Combine("$and", tuple(parts))
