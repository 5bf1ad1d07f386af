"""Values as callers give them: columns in order, numpy's scalars as Python's, text that UTF-8 can hold, and limits."""

from __future__ import annotations

import math
import operator
import sys
from collections.abc import Iterable, Iterator, Mapping, MappingView, Set
from itertools import islice
from reprlib import Repr
from typing import Any, Final

from retrievers.errors import InvalidInputError, InvalidTypeError

# Limits, which docs/limits.md explains; a test compares the two.
TEXT_BYTES: Final = 1 << 29  # of a document's text and context together; SQLite holds a row of 10**9
ID_BYTES: Final = 1 << 16
METADATA_BYTES: Final = 1 << 26  # of a document's metadata as JSON
METADATA_LEVELS: Final = 100  # of lists and objects inside one another: Python's JSON reader is recursive
METADATA_KEYS: Final = 10_000  # in all objects of a document's metadata: each is a row of the catalogue
METADATA_VALUES: Final = 100_000  # values of keys and elements of lists, all together
PATH_BYTES: Final = 4096  # of one dotted path, such as author.name
PATHS_BYTES: Final = 1 << 20  # of all dotted paths of a document: the catalogue keeps each of them whole
NUMBER_BITS: Final = 2048  # 617 digits: Python can be told to refuse numbers of more than 640
FILTER_LEVELS: Final = 50  # of $and, $or and $not inside one another
FILTER_VALUES: Final = 100_000  # conditions and compared values of one filter
FILTER_BYTES: Final = METADATA_BYTES  # of the texts in one filter
INDEXED_KEYS: Final = 1000
SHOWN: Final = 60  # characters of a value that an error message repeats


class _Short(Repr):
    """A repr whose cost does not grow with the value: a number of a million digits has a size instead."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 4
        self.maxlist = self.maxtuple = self.maxset = self.maxfrozenset = self.maxdict = 12
        self.maxstring = self.maxother = 2 * SHOWN

    def repr_bytes(self, x: bytes, level: int) -> str:
        """The first bytes."""
        return repr(x[: 2 * SHOWN])

    def repr_int(self, x: int, level: int) -> str:
        """Digits, or their number where Python would refuse to write them."""
        return repr(x) if x.bit_length() <= NUMBER_BITS else f"<int of {x.bit_length()} bits>"


_short = _Short()


def shown(value: object) -> str:
    """A value as an error message repeats it: its repr on one line, cut short, whatever it is."""
    try:
        whole = " ".join(_short.repr(value).split())
    except Exception:  # a value's own __repr__ may do anything, and the message is about something else
        whole = f"<{type(value).__name__}>"
    return whole if len(whole) <= SHOWN else f"{whole[:SHOWN]}…"


# Sequences


def listed(values: Any, name: str, one: str, most: int | None = None) -> list[Any]:
    """A sequence argument as a list: its values in their order, each looked at once.

    Lists, tuples, iterators, generators, views of a dict, and columns of numpy, pandas and pyarrow are sequences.
    A set has no order, a dict pairs by key, and a text or bytes is one value: these are mistakes.

    Args:
        values: the argument.
        name: what the caller calls it.
        one: what each value belongs to: "document" for one id a document.
        most: the most values to take, so that an iterator may have no end; None takes all.
    Raises:
        InvalidTypeError: it is no sequence; or it is a column of which a value is missing.
    """
    iterator = each(values, name, one)
    return list(iterator if most is None else islice(iterator, most))


def each(values: Any, name: str, one: str) -> Iterator[Any]:
    """listed, one value at a time."""
    if isinstance(values, (str, bytes, bytearray, memoryview)):
        raise InvalidTypeError(f"{name} is {shown(values)}: give a list, even of one: [{shown(values)}].")
    unordered = isinstance(values, Set) and not isinstance(values, MappingView)
    if isinstance(values, type) or unordered or isinstance(values, Mapping):
        raise InvalidTypeError(
            f"{name} is {shown(values)} of type {type(values).__name__}: give a list, one value a {one}, "
            "because order says which belongs to which."
        )
    dimensions = getattr(values, "ndim", 1)
    if dimensions != 1:
        raise InvalidTypeError(
            f"{name} is a {type(values).__name__} of {dimensions} dimensions: one column is needed, with one "
            f"value a {one}."
        )
    if hasattr(values, "to_pylist"):  # pyarrow's columns yield scalars of its own
        values = values.to_pylist()
    try:
        return iter(values)
    except TypeError:
        raise InvalidTypeError(
            f"{name} is {shown(values)} of type {type(values).__name__}: a list is needed, one value a {one}."
        ) from None


def is_iterator(values: object) -> bool:
    """Whether a sequence can be read once only, or has no known length: a generator, a file, a stream."""
    return isinstance(values, Iterator) or (isinstance(values, Iterable) and not hasattr(values, "__len__"))


def is_column(values: object) -> bool:
    """Whether a sequence is a column of numpy, pandas or pyarrow, in which None is a value that is missing."""
    return hasattr(values, "dtype") or hasattr(values, "to_pylist")


# Scalars


def plain(value: object) -> Any:
    """A scalar as Python's own: numpy's numbers as the equal int, float or bool, subclasses as their base.

    Anything else is returned as it is. Dates and spans of time of numpy are no numbers.
    """
    kind = type(value)
    if kind in (str, int, float, bool) or value is None:
        return value
    numpy = sys.modules.get("numpy")  # without numpy in the process the value is none of its scalars
    if numpy is not None and isinstance(value, numpy.generic):
        if isinstance(value, numpy.bool_):
            return bool(value)
        if isinstance(value, (numpy.integer, numpy.floating)) and not isinstance(value, numpy.timedelta64):
            value = value.item()
    # The base's own methods: a subclass may answer for itself with anything.
    for base, exact in ((str, str.__str__), (int, int.__int__), (float, float.__float__)):
        if isinstance(value, base) and not isinstance(value, bool):
            return exact(value)  # type: ignore[arg-type]
    return value


def text(value: object, name: str, most: int = TEXT_BYTES) -> str:
    """A str that UTF-8 can hold, as an exact str.

    Raises:
        InvalidTypeError: it is no str.
        InvalidInputError: it has half of a surrogate pair, or more than `most` bytes.
    """
    value = plain(value)
    if not isinstance(value, str):
        raise InvalidTypeError(f"{name} is {shown(value)} of type {type(value).__name__}: a str is needed.")
    try:
        # The length in characters bounds the bytes from below: a text that is far too long is not encoded.
        size = len(value) if len(value) > most else len(value.encode())
    except UnicodeEncodeError as error:
        raise InvalidInputError(
            f"{name} has half of a surrogate pair at character {error.start}, which no file can hold as text."
        ) from None
    if size > most:
        raise InvalidInputError(f"{name} has {size} bytes or more: {most} is the limit.")
    return value


def whole(value: object, name: str) -> int:
    """A whole number of any size.

    Raises:
        InvalidTypeError: it is no int, nor an integer of numpy.
    """
    value = plain(value)
    try:
        if isinstance(value, bool):
            raise TypeError
        return operator.index(value)  # type: ignore[arg-type]  # what is no int is the TypeError
    except TypeError:
        raise InvalidTypeError(
            f"{name} is {shown(value)} of type {type(value).__name__}: an int is needed."
        ) from None


def count(value: object, name: str) -> int:
    """A whole number of at least 1, such as k and top_n. More than sys.maxsize is sys.maxsize: all there are.

    Raises:
        InvalidTypeError: it is no int.
        InvalidInputError: it is smaller than 1.
    """
    number = whole(value, name)
    if number < 1:
        raise InvalidInputError(f"{name} is {shown(number)}: it must be at least 1.")
    return min(number, sys.maxsize)


def bits(value: object) -> int:
    """How many bits a number of the stored rows has: 8 or 4.

    Raises:
        InvalidTypeError: it is no int.
        InvalidInputError: it is neither.
    """
    number = whole(value, "bits")
    if number not in (4, 8):
        raise InvalidInputError(
            f"bits is {shown(number)}: a number of a stored row has 8 bits, or 4 for half the size."
        )
    return number


def number(value: object, name: str, needed: str) -> float:
    """A number as a float; an int beyond the range of floats is infinite.

    Raises:
        InvalidTypeError: it is no number, or NaN.
    """
    value = plain(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
        raise InvalidTypeError(f"{name} is {shown(value)} of type {type(value).__name__}: {needed}.")
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def flag(value: object, name: str) -> bool:
    """True or False.

    Raises:
        InvalidTypeError: it is neither.
    """
    value = plain(value)
    if not isinstance(value, bool):
        raise InvalidTypeError(
            f"{name} is {shown(value)} of type {type(value).__name__}: True or False is needed."
        )
    return value
