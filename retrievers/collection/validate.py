"""The door: every argument of a collection is checked here, before anything is changed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any
from uuid import uuid4

from retrievers.errors import InvalidInputError, InvalidTypeError
from retrievers.types import Document, Metadatas, Names, Texts

SHOWN = 60  # characters of a value that an error message repeats


def documents(
    items: Texts,
    ids: Names = None,
    metadatas: Metadatas = None,
) -> list[Document]:
    """Texts and documents as documents with an id each.

    Args:
        items: texts, or documents.
        ids: one an item; each beats the document's own. Without either an id is made up (uuid4).
        metadatas: one an item; each beats the document's own.
    Raises:
        InvalidTypeError: an item, id, or metadata has the wrong type.
        InvalidInputError: lengths differ, an id is empty or stands twice, or metadata is not JSON.
    """
    if isinstance(items, (str, Document)):
        raise InvalidTypeError(f"documents is {shown(items)}: give a list, even of one: [{shown(items)}].")
    items = list(items)
    for name, values in (("ids", ids), ("metadatas", metadatas)):
        if isinstance(values, (str, Mapping)):
            raise InvalidTypeError(f"{name} is {shown(values)}: give a list, one a document.")
    ids = None if ids is None else list(ids)
    metadatas = None if metadatas is None else list(metadatas)
    for name, values in (("ids", ids), ("metadatas", metadatas)):
        if values is not None and len(values) != len(items):
            raise InvalidInputError(f"{len(items)} documents but {len(values)} {name}: give one a document.")
    checked = [
        _document(
            place,
            item,
            ids[place] if ids is not None else None,
            metadatas[place] if metadatas is not None else None,
        )
        for place, item in enumerate(items)
    ]
    seen: dict[str, int] = {}
    for place, document in enumerate(checked):
        first = seen.setdefault(str(document.id), place)
        if first != place:
            raise InvalidInputError(
                f"id {document.id!r} stands twice in one call, at places {first} and {place}."
            )
    return checked


def _document(
    place: int, item: str | Document, given: str | None, metadata: Mapping[str, Any] | None
) -> Document:
    if isinstance(item, str):
        item = Document(item)
    if not isinstance(item, Document):
        raise InvalidTypeError(
            f"document {place} is {shown(item)} of type {type(item).__name__}: a str or a Document is needed."
        )
    key = given if given is not None else item.id
    chosen = metadata if metadata is not None else item.metadata
    text(item.text, f"the text of document {place}")
    text(item.context, f"the context of document {place}")
    if key is None:
        key = uuid4().hex
    json_object(chosen, f"the metadata of document {place}")
    return Document(item.text, identifier(key), dict(chosen), item.context)


def identifier(value: object) -> str:
    """An id: a str that is not empty."""
    checked = text(value, "an id")
    if not checked:
        raise InvalidInputError(
            "an id is empty: give a str of at least one character, or None to have one made."
        )
    return checked


def identifiers(values: Iterable[str]) -> list[str]:
    """A list of ids; one bare str is a mistake, not a list of its characters."""
    if isinstance(values, str):
        raise InvalidTypeError(f"ids is {shown(values)}: give a list, even of one: [{shown(values)}].")
    return [identifier(value) for value in values]


def queries(values: Iterable[str]) -> list[str]:
    """A list of questions; one bare str is a mistake, not a list of its characters."""
    if isinstance(values, str):
        raise InvalidTypeError(f"queries is {shown(values)}: give a list, even of one: [{shown(values)}].")
    return [text(value, "a query") for value in values]


def text(value: object, name: str) -> str:
    """A str that UTF-8 can hold."""
    if not isinstance(value, str):
        raise InvalidTypeError(f"{name} is {shown(value)} of type {type(value).__name__}: a str is needed.")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InvalidInputError(
            f"{name} has half of a surrogate pair at character {error.start}, which no file can hold as text."
        ) from None
    return value


def count(value: object, name: str) -> int:
    """A whole number of at least 1: k, top_n."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise InvalidTypeError(f"{name} is {shown(value)} of type {type(value).__name__}: an int is needed.")
    number = int(value.__index__())
    if number < 1:
        raise InvalidInputError(f"{name} is {number}: it must be at least 1.")
    return number


def threshold(value: float | None) -> float:
    """A bound for normalized_score; None is no bound."""
    if value is None:
        return -math.inf
    if isinstance(value, bool) or not isinstance(value, (int, float)) or math.isnan(value):
        raise InvalidTypeError(f"score_threshold is {shown(value)}: a number from 0 to 1 is needed, or None.")
    return float(value)


def json_object(value: object, name: str) -> None:
    """A mapping of JSON values under string keys, so that what is read back equals what was given."""
    if not isinstance(value, Mapping):
        raise InvalidTypeError(f"{name} is {shown(value)} of type {type(value).__name__}: a dict is needed.")
    for key, item in value.items():
        if not isinstance(key, str):
            raise InvalidTypeError(
                f"{name} has the key {shown(key)} of type {type(key).__name__}: JSON keys are str."
            )
        text(key, f"a key of {name}")
        _json_value(item, f"{name} under {key!r}", 0)


def _json_value(value: object, name: str, depth: int) -> None:
    if depth > 100:
        raise InvalidInputError(f"{name} is nested more than 100 levels deep.")
    if value is None or isinstance(value, (bool, int)):
        return
    if isinstance(value, str):
        text(value, name)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidInputError(
                f"{name} is {value}, which JSON cannot hold: use None, or leave the key out."
            )
    elif isinstance(value, list):
        for item in value:
            _json_value(item, name, depth + 1)
    elif isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise InvalidTypeError(f"{name} has the key {shown(key)}: JSON keys are str.")
            text(key, f"a key of {name}")
            _json_value(item, f"{name}.{key}", depth + 1)
    else:
        raise InvalidTypeError(
            f"{name} is {shown(value)} of type {type(value).__name__}, which is not JSON: "
            "use str, int, float, bool, None, list or dict."
        )


def shown(value: object) -> str:
    """A value as an error message repeats it: its repr, cut short."""
    whole = repr(value)
    return whole if len(whole) <= SHOWN else f"{whole[:SHOWN]}…"


def directory(path: str | PathLike[str] | None) -> Path | None:
    """Where a collection is to be; None for memory."""
    if path is None:
        return None
    if not isinstance(path, (str, PathLike)):
        raise InvalidTypeError(f"path is {shown(path)}: a directory is needed, or None for memory.")
    if not str(path):
        raise InvalidInputError("path is empty: give a directory, or None to stay in memory.")
    return Path(path)
