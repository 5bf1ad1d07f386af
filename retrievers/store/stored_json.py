"""JSON as it is stored: what no metadata can hold is refused when it is read, too."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from retrievers.arguments import METADATA_LEVELS, NUMBER_BITS

MOST_LEVELS = METADATA_LEVELS + 50  # of lists and objects: adapters keep metadata inside what they attach


def json_object(text: str) -> dict[str, Any]:
    """The object that a text holds.

    Raises:
        ValueError: it is no JSON object, or has a number that is not finite or too large, half of a surrogate pair, or
            too many levels: each would fail later, wherever the values are used.
        RecursionError: it has far too many levels.
    """
    values = _DECODER.decode(text)
    if not isinstance(values, dict):
        raise ValueError("it is no JSON object")
    # Brackets and escapes inside of texts count here as well, which only costs the second look.
    if text.count("{") + text.count("[") > MOST_LEVELS and _levels(values) > MOST_LEVELS:
        raise ValueError(f"it is nested more than {MOST_LEVELS} levels deep")
    if "\\ud" in text or "\\uD" in text:
        json.dumps(values, ensure_ascii=False).encode()
    return values


def _levels(values: dict[str, Any]) -> int:
    levels, inside = 0, list[Any]([values])
    while inside and levels <= MOST_LEVELS:
        levels += 1
        parts = [one.values() if isinstance(one, dict) else one for one in inside]
        inside = [one for part in parts for one in part if isinstance(one, (dict, list))]
    return levels


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"{digits[:20]} is too large for a number")
    return value


def _bounded(digits: str) -> int:
    value = int(digits)
    if value.bit_length() > NUMBER_BITS:
        raise ValueError(f"a number has more than {NUMBER_BITS} bits")
    return value


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


_DECODER = json.JSONDecoder(parse_float=_finite, parse_int=_bounded, parse_constant=_no_number)
