"""Payload fields that filters are answered by, derived from a document's metadata.

Qdrant's own conditions on metadata differ from the filter language in keys with dots, lists, floats, long integers,
ranges of texts and empty values. These fields do not:

    f           hashes of (path, kind, value): "=" the value, "@" an element of a list, "L" a list, "!" not empty
    n.<path>    a number as a coarse float, for ranges
    o.<path>    the first 24 bytes of a text as four numbers in base 257, for ranges
    tenant      the hashes of f that belong to the tenant's key
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

from retrievers.filters.fields import encode, lookup, paths

EQUAL, ELEMENT, A_LIST, NOT_EMPTY = b"=", b"@", b"L", b"!"
HASHES, NUMBERS, TEXTS, TENANT = "f", "n", "o", "tenant"
BYTES = 24  # of a text that take part in a comparison of order
DIGITS = 6  # of them in one number: 257 ** 6 is below 2 ** 53
LARGEST = 1.7976931348623157e308
TINY = 2.0**-900  # between it and its negative there is only 0
BITS = 47  # of a coarse number; a float has 53


def derived(metadata: Mapping[str, Any], tenant: str | None = None) -> dict[str, Any]:
    """The payload fields of a document's metadata.

    Args:
        tenant: the key whose value is the document's tenant; None where the collection has no tenants.
    """
    hashes: list[str] = []
    numbers: dict[str, float] = {}
    texts: dict[str, list[int]] = {}
    owners: list[str] = []
    for path in paths(metadata):
        value = lookup(metadata, path)
        made = [token(path, EQUAL, value)]
        if isinstance(value, list):
            made.append(token(path, A_LIST))
            made += [token(path, ELEMENT, item) for item in value if not isinstance(item, (list, Mapping))]
        if not empty(value):
            made.append(token(path, NOT_EMPTY))
        if isinstance(value, str):
            texts[name_of(path)] = ordered(value)
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            numbers[name_of(path)] = coarse(value)
        hashes += made
        if path == tenant:
            owners = made
    keyed = {name: {str(place): number for place, number in enumerate(four)} for name, four in texts.items()}
    fields: dict[str, Any] = {HASHES: list(dict.fromkeys(hashes)), NUMBERS: numbers, TEXTS: keyed}
    return fields if tenant is None else {**fields, TENANT: list(dict.fromkeys(owners))}


def token(path: str, kind: bytes, value: Any = None) -> str:
    """A value under a key as a keyword: two are equal where the filter language says equal."""
    content = encode(value) if kind in (EQUAL, ELEMENT) else b""
    key = path.encode()
    return blake2b(len(key).to_bytes(8, "little") + key + kind + content, digest_size=12).hexdigest()


def name_of(path: str) -> str:
    """A key of the metadata as a key that every JSON path can hold."""
    return "k" + blake2b(path.encode(), digest_size=8).hexdigest()


def empty(value: Any) -> bool:
    """What the filter language calls empty, of a key that is there."""
    return value is None or (isinstance(value, (str, list, Mapping)) and len(value) == 0)


def as_float(value: int | float) -> float:
    """The nearest float, of whatever size: a larger number never becomes a smaller float."""
    try:
        return float(value)
    except OverflowError:
        return LARGEST if value > 0 else -LARGEST


def coarse(value: int | float) -> float:
    """The greatest number of 47 bits that is not above a value.

    A decimal of 17 digits may be another float where a server has read it, by a unit or two in the last of 53 places.
    Two coarse numbers that differ are so far apart that they stay in their order.
    """
    number = as_float(value)
    if abs(number) < TINY:
        return 0.0 if number >= 0 else -TINY
    significand, exponent = math.frexp(number)
    floor = math.floor(significand * 2**BITS)
    return -LARGEST if floor == -(2**BITS) and exponent == 1024 else math.ldexp(floor, exponent - BITS)


def between(number: float) -> tuple[float, float]:
    """Bounds that lie between a coarse number and the coarse numbers next to it."""
    quarter = TINY / 4 if abs(number) < TINY else math.ldexp(1.0, math.frexp(number)[1] - BITS - 2)
    return max(number - quarter, -LARGEST), min(number + quarter, LARGEST)


def ordered(text: str) -> list[int]:
    """The first bytes of a text as numbers that compare, one after the other, as the texts do."""
    data = text.encode()[:BYTES]
    digits = [byte + 1 for byte in data] + [0] * (BYTES - len(data))
    made = []
    for first in range(0, BYTES, DIGITS):
        number = 0
        for digit in digits[first : first + DIGITS]:
            number = number * 257 + digit
        made.append(number)
    return made
