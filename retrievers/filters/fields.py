"""Metadata values as bytes that compare as the values do, so that SQL needs no types.

SQLite's own JSON functions round numbers, take True for 1 and trip over quotes in keys; here each value under
a path becomes one byte string (FORMAT.md, "Field values"): equal values have equal bytes, and within a type
the order of bytes is the order of values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
    """The value under a key; dots reach into nested objects, and a key that is there as written wins."""
    if path in metadata:
        return metadata[path]
    place = path.find(".")
    while place >= 0:
        inner = metadata.get(path[:place])
        if isinstance(inner, Mapping):
            found = lookup(inner, path[place + 1 :])
            if found is not MISSING:
                return found
        place = path.find(".", place + 1)
    return MISSING


def paths(metadata: Mapping[str, Any]) -> dict[str, bytes]:
    """Every path that lookup can find, and the bytes of its value."""
    names = dict.fromkeys(_names(metadata))
    return {name: encode(lookup(metadata, name)) for name in names}


def _names(metadata: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in metadata.items():
        yield prefix + key
        if isinstance(value, Mapping):
            yield from _names(value, f"{prefix}{key}.")


def same_kind(one: Any, other: Any) -> bool:
    """Whether two values are of one JSON type: null, boolean, number or text."""
    return _kind(one) == _kind(other) and _kind(one) in (NULL, BOOL, NUMBER, TEXT)


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
        return TEXT + value.encode()
    if kind == LIST:
        return LIST + b"".join(SEPARATOR + _element(item) for item in value) + (SEPARATOR if value else b"")
    return OBJECT + (b"\x01" if value else b"")


def needle(value: Any) -> bytes:
    """What the bytes of a list have inside them if, and only if, the scalar is one of its elements."""
    return SEPARATOR + _element(value) + SEPARATOR


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
