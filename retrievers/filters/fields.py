"""Metadata values as bytes that compare as the values do, so that SQL needs no types.

SQLite's own JSON functions round numbers, take True for 1 and trip over quotes in keys; here each value under
a path becomes one byte string (FORMAT.md, "Field values"): equal values have equal bytes, and within a type
the order of bytes is the order of values.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

NULL, BOOL, NUMBER, TEXT, LIST, OBJECT, OTHER = (bytes([kind]) for kind in range(1, 8))
SEPARATOR = b"\x00\x01"
COMPLEMENT = bytes.maketrans(b"0123456789abcdef", b"fedcba9876543210")


class _Missing:
    """The value of a key that is not there."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()


def lookup(metadata: Mapping[str, Any], path: str) -> Any:
    """The value under a key; dots reach into nested objects, and a key that is there as written wins.

    Where several ways lead to a value, the one whose first key is shortest wins.
    """
    waiting: list[tuple[Mapping[str, Any], str]] = [(metadata, path)]
    while waiting:
        inside, rest = waiting.pop()
        if rest in inside:
            return inside[rest]
        place = rest.rfind(".")
        while place >= 0:  # from the last dot to the first, so that the shortest key is taken next
            inner = inside.get(rest[:place])
            if isinstance(inner, Mapping):
                waiting.append((inner, rest[place + 1 :]))
            place = rest.rfind(".", 0, place)
    return MISSING


def paths(metadata: Mapping[str, Any]) -> dict[str, bytes]:
    """Every path that lookup can find, and the bytes of its value."""
    found: dict[str, bytes] = {}
    waiting: list[tuple[str, Mapping[str, Any]]] = [("", metadata)]
    while waiting:
        prefix, inside = waiting.pop()
        for key, value in inside.items():
            # What was met before wins, because objects are met in the order in which lookup tries them.
            found.setdefault(prefix + key, encode(value))
        inner = [(key, value) for key, value in inside.items() if isinstance(value, Mapping)]
        for key, value in sorted(inner, key=lambda pair: -len(pair[0])):
            waiting.append((f"{prefix}{key}.", value))
    return found


def same_kind(one: Any, other: Any) -> bool:
    """Whether two values are of one JSON type: null, boolean, number or text."""
    return _kind(one) == _kind(other) and _kind(one) in (NULL, BOOL, NUMBER, TEXT)


def identity(value: Any) -> tuple[bytes, Any] | None:
    """What equal scalars have in common, and others have not; None for a list, an object, or a missing value."""
    kind = _kind(value)
    return (kind, value) if kind in (NULL, BOOL, NUMBER, TEXT) else None


def _kind(value: Any) -> bytes:
    match value:
        case None:
            return NULL
        case bool():
            return BOOL
        case int() | float():
            return NUMBER
        case str():
            return TEXT
        case list():
            return LIST
        case Mapping():
            return OBJECT
    return OTHER


def encode(value: Any) -> bytes:
    """A JSON value as bytes: those of a scalar are its own, objects only tell whether they are empty."""
    kind = _kind(value)
    if kind == NULL:
        return NULL
    if kind == BOOL:
        return BOOL + bytes([value])
    if kind == NUMBER:
        return NUMBER + _number(value)
    if kind == TEXT:
        return TEXT + str(value).encode()
    if kind == LIST:
        return LIST + b"".join(SEPARATOR + _element(item) for item in value) + (SEPARATOR if value else b"")
    return OBJECT + (b"\x01" if value else b"")


def needle(value: Any) -> bytes:
    """What the bytes of a list have inside them if, and only if, the scalar is one of its elements."""
    return SEPARATOR + _element(value) + SEPARATOR


def elements(value: bytes) -> str:
    """The elements of the bytes of a list, each as the bytes of its own value; other values have none.

    Returns:
        JSON, so that SQL can read it: a list of texts of hexadecimal digits.
    """
    parts = value[len(LIST + SEPARATOR) :].split(SEPARATOR)[:-1] if value[:1] == LIST else []
    return json.dumps([part.replace(b"\x00\xff", b"\x00").hex().upper() for part in parts])


def _element(value: Any) -> bytes:
    if isinstance(value, (list, Mapping)):
        return OTHER  # no filter names a list or object inside a list
    # A zero byte is followed by 255 inside an element and by 1 in a separator, so that none looks like the other.
    return encode(value).replace(b"\x00", b"\x00\xff")


def _number(value: int | float) -> bytes:
    """Sign, exponent and mantissa of a number, exact: every int and float is a sum of powers of two."""
    if value == 0:
        return b"\x80"
    top, bottom = abs(value).as_integer_ratio()
    # bottom is a power of two, so 2**exponent <= abs(value) < 2**(exponent + 1).
    exponent = top.bit_length() - bottom.bit_length()
    digits = f"{top << (-top.bit_length() % 4):x}".rstrip("0").encode()
    magnitude = exponent + (1 << 31)
    if value > 0:
        return b"\xff" + magnitude.to_bytes(4, "big") + digits
    # Larger magnitudes come first; 255 behind the digits puts a shorter mantissa after a longer one.
    return b"\x00" + (0xFFFFFFFF - magnitude).to_bytes(4, "big") + digits.translate(COMPLEMENT) + b"\xff"
