"""Each argument of a collection is checked here, before anything is changed."""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Iterable, Mapping
from inspect import signature
from os import PathLike
from pathlib import Path
from typing import Any

from retrievers.arguments import (
    ID_BYTES,
    INDEXED_KEYS,
    PATH_BYTES,
    bits,
    count,
    each,
    flag,
    listed,
    number,
    shown,
    text,
)
from retrievers.encoder import LateInteractionEncoder
from retrievers.errors import InvalidInputError, InvalidTypeError
from retrievers.store.words import TABLES
from retrievers.types import Encoder, Hit, Window

__all__ = [
    "bits",
    "count",
    "device",
    "directory",
    "encoder",
    "encoder_options",
    "file",
    "flag",
    "found",
    "group",
    "hit",
    "identifier",
    "identifiers",
    "keys",
    "shown",
    "text",
    "threshold",
    "timeout",
    "tokenizer",
    "weight",
]

LONGEST = 1e6  # seconds of a timeout: more is as good as for ever, and fits what the system counts in
ENCODER = (
    "dim",
    "document_length",
    "fingerprint",
    "encode_queries",
    "encode_documents",
    "split",
    "document_tokens",
    "query_tokens",
)

# Ids and hits


def identifier(value: object, name: str = "an id") -> str:
    """An id: a str that is not empty."""
    checked = text(value, name, ID_BYTES)
    if not checked:
        raise InvalidInputError(
            f"{name} is empty: give a str of at least one character, or None to have one made."
        )
    return checked


def identifiers(values: Iterable[str]) -> list[str]:
    """A list of ids; one bare str is a mistake, not a list of its characters."""
    return [
        identifier(value, f"the id at place {place}")
        for place, value in enumerate(each(values, "ids", "document"))
    ]


def hit(value: object, name: str = "hit") -> Hit:
    """A hit, as search returned it."""
    if not isinstance(value, Hit):
        raise InvalidTypeError(f"{name} is {shown(value)} of type {type(value).__name__}: a Hit is needed.")
    window = value.passage
    if window is not None and (not isinstance(window, Window) or not isinstance(window.number, int)):
        raise InvalidTypeError(f"{name} has the passage {shown(window)}: a Window is needed, or None.")
    if window is not None and window.number < 0:
        raise InvalidInputError(f"{name} has the passage number {shown(window.number)}: 0 is the first.")
    if value.id is not None:
        identifier(value.id, f"the id of {name}")
    text(value.text, f"the text of {name}")
    return value


def found(values: Iterable[Hit]) -> list[Hit]:
    """A list of hits, as search returned them."""
    return [hit(value, f"hit {place}") for place, value in enumerate(each(values, "hits", "document"))]


# Options


def threshold(value: float | None) -> float:
    """A bound for normalized_score; None is no bound.

    Raises:
        InvalidTypeError: it is no number.
        InvalidInputError: it is outside [0, 1].
    """
    if value is None:
        return -math.inf
    bound = number(value, "score_threshold", "a number from 0 to 1 is needed, or None")
    if not 0 <= bound <= 1:
        raise InvalidInputError(
            f"score_threshold is {shown(value)}: normalised scores lie from 0 to 1, so a bound does too."
        )
    return bound


def weight(value: float | None, name: str = "words") -> float | None:
    """The share that a part has in the score of a search; None leaves it to the collection.

    Raises:
        InvalidTypeError: it is no number.
        InvalidInputError: it is outside [0, 1].
    """
    if value is None:
        return None
    share = number(value, name, "a number from 0 to 1 is needed, a share of the score, or None")
    if not 0 <= share <= 1:
        raise InvalidInputError(f"{name} is {shown(value)}: a share of the score lies from 0 to 1.")
    return share


def tokenizer(value: str | None, name: str = "words") -> str | None:
    """How an index of words cuts texts.

    Raises:
        InvalidTypeError: it is no str.
        InvalidInputError: there is no such tokenizer.
    """
    if value is None:
        return None
    checked = text(value, name)
    if checked not in TABLES:
        raise InvalidInputError(
            f"{name} is {shown(value)}: give 'unicode61' for words as they are, 'porter' for English stems, or "
            "'trigram' for languages without spaces."
        )
    return checked


def group(value: str | None) -> str | None:
    """The metadata key whose values hits are grouped by."""
    if value is None:
        return None
    checked = text(value, "group_by", PATH_BYTES)
    if not checked:
        raise InvalidInputError("group_by is empty: give a metadata key, such as 'source'.")
    return checked


def timeout(value: float) -> float:
    """Seconds to wait for another writer, at most LONGEST.

    Raises:
        InvalidTypeError: it is no number.
        InvalidInputError: it is negative.
    """
    seconds = number(value, "timeout", "a number of seconds is needed")
    if seconds < 0:
        raise InvalidInputError(f"timeout is {shown(value)}: it must be at least 0 seconds.")
    return min(seconds, LONGEST)


def keys(values: Iterable[str]) -> list[str]:
    """Metadata keys to index.

    Raises:
        InvalidTypeError: it is no list, or a key is no str.
        InvalidInputError: more keys, or a longer one, than the limits of retrievers.arguments.
    """
    given = listed(values, "indexed", "key", INDEXED_KEYS + 1)
    if len(given) > INDEXED_KEYS:
        raise InvalidInputError(f"indexed has more than {INDEXED_KEYS} keys, which is the limit.")
    checked = [
        text(key, f"the key at place {place} of indexed", PATH_BYTES) for place, key in enumerate(given)
    ]
    return list(dict.fromkeys(checked))


def encoder(value: Any) -> Encoder:
    """What has all that a collection needs of an encoder.

    Raises:
        InvalidTypeError: an attribute or method is missing; the message names it.
        InvalidInputError: the fingerprint does not have the name of the model, or has another `dim`.
    """
    if isinstance(value, str):
        raise InvalidTypeError(f"encoder is {shown(value)}: give LateInteractionEncoder({shown(value)}).")
    if isinstance(value, type):
        raise InvalidTypeError(f"encoder is the class {value.__name__}: give an object, {value.__name__}(…).")
    missing = [name for name in ENCODER if not hasattr(value, name)]
    missing += [name for name in ENCODER[3:] if name not in missing and not callable(getattr(value, name))]
    if missing:
        raise InvalidTypeError(
            f"encoder is {shown(value)} of type {type(value).__name__}, without {', '.join(missing)}: give a "
            "LateInteractionEncoder, or a subclass of retrievers.Encoder."
        )
    fingerprint = value.fingerprint
    if not isinstance(fingerprint, Mapping) or not isinstance(fingerprint.get("model"), str):
        raise InvalidInputError(
            f"the encoder's fingerprint is {shown(fingerprint)}: a dict with the model's name under 'model' is "
            "needed."
        )
    if fingerprint.get("dim") != value.dim:
        raise InvalidInputError(
            f"the encoder has dim {shown(value.dim)}, but its fingerprint has {shown(fingerprint.get('dim'))}: the "
            "two must be equal."
        )
    checked: Encoder = value
    return checked


def device(value: object) -> str | None:
    """A device of torch's by name, or None for the processor."""
    if value is None or isinstance(value, str):
        return None if value is None else text(value, "device")
    if type(value).__module__ == "torch" and type(value).__name__ == "device":
        return str(value)
    raise InvalidTypeError(f"device is {shown(value)}: a name such as 'cuda' is needed, or None.")


def encoder_options(options: Mapping[str, Any] | None) -> dict[str, Any]:
    """Keywords of LateInteractionEncoder, of which each is checked when the model is loaded.

    Raises:
        InvalidTypeError: they are no mapping.
        InvalidInputError: one is no keyword of LateInteractionEncoder.
    """
    if options is None:
        return {}
    if not isinstance(options, Mapping):
        raise InvalidTypeError(
            f"encoder_options is {shown(options)}: a dict from keywords to values is needed."
        )
    known = signature(LateInteractionEncoder).parameters
    unknown = [name for name in options if name == "model" or name not in known]
    if unknown:
        raise InvalidInputError(
            f"encoder_options has {shown(unknown[0])}, which is no keyword of LateInteractionEncoder. The model is the "
            "collection's own: another is given as Collection(path, encoder)."
        )
    return dict(options)


def is_own(path: Path | None) -> bool:
    """Whether the user who runs this program owns a collection's directory and every file in it."""
    if path is None or not hasattr(os, "geteuid"):
        return True
    return all(place.lstat().st_uid == os.geteuid() for place in (path, *path.iterdir()))


def directory(path: str | PathLike[str] | None) -> Path | None:
    """Where a collection is to be; None for memory.

    Raises:
        InvalidTypeError: it is no path.
        InvalidInputError: it is empty, too long, or has a character that no file name can have.
    """
    if path is None:
        return None
    try:
        given = os.fspath(path)
    except TypeError:
        given = None
    if not isinstance(given, str):
        raise InvalidTypeError(f"path is {shown(path)}: a str or a Path is needed, or None for memory.")
    if not given:
        raise InvalidInputError("path is empty: give a directory, or None to stay in memory.")
    if "\x00" in given:
        raise InvalidInputError(f"path is {shown(given)}, with a character NUL, which no file name can have.")
    try:
        os.fsencode(given)
    except UnicodeEncodeError:
        raise InvalidInputError(
            f"path is {shown(given)}, which the file system's encoding cannot hold."
        ) from None
    try:
        os.lstat(given)
    except OSError as error:  # whatever else is wrong with the path is the store's to say
        if error.errno == errno.ENAMETOOLONG:
            raise InvalidInputError(
                f"path is {shown(given)} of {len(given)} characters, which is longer than the file system permits."
            ) from None
    return Path(given)


def file(path: str | PathLike[str]) -> Path:
    """A file's path.

    Raises:
        InvalidTypeError, InvalidInputError: as directory; and None is none.
    """
    place = directory(path)
    if place is None:
        raise InvalidTypeError("path is None: a str or a Path is needed.")
    return place
