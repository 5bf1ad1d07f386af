"""Metadata are checked here: JSON values under string keys, within limits that keep the catalogue small."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from retrievers.arguments import (
    METADATA_BYTES,
    METADATA_KEYS,
    METADATA_LEVELS,
    METADATA_VALUES,
    NUMBER_BITS,
    PATH_BYTES,
    PATHS_BYTES,
    plain,
    shown,
    text,
)
from retrievers.errors import InvalidInputError, InvalidTypeError


def json_object(value: object, name: str) -> dict[str, Any]:
    """A mapping of JSON values under string keys as plain dicts and lists, equal to what is read back later.

    Args:
        value: objects are dicts (the outermost may be any mapping), arrays are lists.
        name: what messages call it: "the metadata of document 3".
    Raises:
        InvalidTypeError: a value or key has a type that JSON lacks; the message says where.
        InvalidInputError: NaN, infinity, half of a surrogate pair, or more than one of the limits above.
    """
    if not isinstance(value, Mapping):
        raise InvalidTypeError(f"{name} is {shown(value)} of type {type(value).__name__}: a dict is needed.")
    checked: dict[str, Any] = _object(value, name, "", 1, _Budget(name), False)
    return checked


class _Budget:
    """How much of each limit the rest of one document's metadata may still take."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.bytes = METADATA_BYTES
        self.values = METADATA_VALUES
        self.keys = METADATA_KEYS
        self.paths = PATHS_BYTES

    def spend(self, size: int) -> None:
        """Count one more value, which takes `size` bytes of JSON."""
        self.values -= 1
        self.bytes -= size
        if self.values < 0:
            raise InvalidInputError(
                f"{self.name} has more than {METADATA_VALUES} values, which is the limit."
            )
        if self.bytes < 0:
            raise InvalidInputError(
                f"{self.name} has more than {METADATA_BYTES} bytes of JSON, which is the limit."
            )

    def enter(self, path: str, listed: bool) -> None:
        """Count one more key. Filters do not look at keys inside a list, so that the paths of those are not stored."""
        size = len(path.encode())
        self.keys -= 1
        if not listed:
            self.paths -= size
        if self.keys < 0:
            raise InvalidInputError(f"{self.name} has more than {METADATA_KEYS} keys, which is the limit.")
        if size > PATH_BYTES:
            raise InvalidInputError(
                f"{_under(self.name, path)} has a dotted path of {size} bytes: {PATH_BYTES} is the limit. "
                "Shorten its keys, or nest them less deep."
            )
        if self.paths < 0:
            raise InvalidInputError(
                f"{self.name} has dotted paths of more than {PATHS_BYTES} bytes together, which is the limit: "
                "nest it less deep, shorten its keys, or keep a part of it as one JSON text."
            )


def _object(value: Mapping[Any, Any], name: str, above: str, level: int, left: _Budget, listed: bool) -> Any:
    """Check and copy one object: `above` is the dotted path of its key, `listed` tells that it is inside a list."""
    left.spend(2)
    made: dict[str, Any] = {}
    for key, item in value.items():
        key = plain(key)
        if not isinstance(key, str):
            raise InvalidTypeError(
                f"{_under(name, above)} has the key {shown(key)} of type {type(key).__name__}: JSON keys are str."
            )
        text(key, f"a key of {_under(name, above)}", PATH_BYTES)
        left.bytes -= 4 + len(key.encode())
        path = f"{above}.{key}" if level > 1 else key
        left.enter(path, listed)
        if key in made:
            raise InvalidInputError(f"{_under(name, above)} has the key {shown(key)} twice.")
        made[key] = _json(item, name, path, level, left, listed)
    return made


def _json(value: object, name: str, path: str, level: int, left: _Budget, listed: bool) -> Any:
    value = plain(value)
    if value is None or isinstance(value, bool):
        left.spend(4)
    elif isinstance(value, str):
        left.spend(2 + len(text(value, _under(name, path), METADATA_BYTES).encode()))
    elif isinstance(value, int):
        if value.bit_length() > NUMBER_BITS:
            raise InvalidInputError(
                f"{_under(name, path)} is {shown(value)}: {NUMBER_BITS} bits is the limit. Keep it as a str."
            )
        left.spend(1 + value.bit_length() // 4)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidInputError(
                f"{_under(name, path)} is {value}, which JSON cannot hold: use None, or leave the key out."
            )
        left.spend(8)
    elif isinstance(value, (list, dict)):
        if level > METADATA_LEVELS:
            raise InvalidInputError(
                f"{_under(name, path)} is nested more than {METADATA_LEVELS} levels deep, which is the limit."
            )
        if isinstance(value, dict):
            return _object(value, name, path, level + 1, left, listed)
        left.spend(2 + 2 * len(value))
        return [_json(item, name, path, level + 1, left, True) for item in value]
    else:
        raise InvalidTypeError(
            f"{_under(name, path)} is {shown(value)} of type {type(value).__name__}, which is not JSON: "
            "use str, int, float, bool, None, list or dict."
        )
    return value


def _under(name: str, path: str) -> str:
    return f"{name} under {shown(path)}" if path else name
