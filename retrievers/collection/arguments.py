"""What the adapters ask alike of their callers: a collection to work on, and no keyword that nobody knows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from os import PathLike

from retrievers.collection.collection import Collection
from retrievers.collection.validate import shown
from retrievers.errors import InvalidInputError, InvalidTypeError, UnknownOptionError
from retrievers.types import Encoder, SearchableCollection

MEMBERS = (
    *(name for name in vars(SearchableCollection) if not name.startswith("_")),
    "__len__",
    "__contains__",
)
"""What every collection has."""


class EncoderAlone(Collection):
    """A collection that nobody adds to: what reranks given documents needs its encoder only.

    Nothing is lost where a copy begins anew, and so it may be pickled and copied, which other collections in
    memory may not.
    """

    def __init__(self, encoder: Encoder) -> None:
        super().__init__(None, encoder)

    def __reduce__(self) -> tuple[type[EncoderAlone], tuple[Encoder]]:
        return EncoderAlone, (self.encoder,)

    def __deepcopy__(self, memo: object) -> EncoderAlone:
        return EncoderAlone(self.encoder)


def checked(value: object) -> SearchableCollection:
    """A collection as it is, of whatever class has the members of SearchableCollection.

    Raises:
        InvalidTypeError: it is something else: a path, a vector store, None.
    """
    absent = [name for name in MEMBERS if not _has(value, name)]
    if not absent:
        return value  # type: ignore[return-value]
    # What lacks nearly everything is no collection at all; what lacks little is somebody's unfinished one.
    lacking = f", which lacks {', '.join(absent)}" if len(absent) <= len(MEMBERS) // 2 else ""
    raise InvalidTypeError(
        f"collection is {shown(value)} of type {type(value).__name__}{lacking}: give a Collection, "
        "Collection('index', encoder) say. A directory is given as path='index', and a vector store has its "
        "collection as .collection."
    )


def _has(value: object, name: str) -> bool:
    # The class is asked first: to ask an object for its `encoder` would load the model.
    return (
        hasattr(type(value), name)
        or name in getattr(value, "__dict__", ())
        or (hasattr(type(value), "__getattr__") and hasattr(value, name))
    )


def created(
    collection: SearchableCollection | None,
    path: str | PathLike[str] | None,
    encoder: Encoder | None,
) -> SearchableCollection:
    """The collection given; else the one in a directory, which is created if need be; else one in memory.

    Raises:
        InvalidInputError: a collection came beside path or encoder.
        InvalidTypeError: collection is something else, or nothing came.
    """
    if collection is None and path is None and encoder is None:
        return checked(collection)
    return created_by_default(collection, path, encoder)


def created_by_default(
    collection: SearchableCollection | None,
    path: str | PathLike[str] | None,
    encoder: Encoder | None,
) -> SearchableCollection:
    """As created; where nothing came, a collection in memory with the default model."""
    if collection is None:
        return Collection.open_or_create(path, encoder)
    return _alone(collection, path, encoder)


def opened(
    collection: SearchableCollection | None,
    path: str | PathLike[str] | None,
    encoder: Encoder | None,
) -> SearchableCollection:
    """The collection given, or the one in a directory; nothing is created.

    Raises:
        InvalidInputError: a collection came beside path or encoder.
        InvalidTypeError: collection is something else, or neither it nor path came.
        StoreError: there is no collection at the path.
    """
    if collection is None and path is not None:
        return Collection.open(path, encoder)
    return _alone(collection, path, encoder)


def scoring(
    collection: SearchableCollection | None,
    path: str | PathLike[str] | None,
    encoder: Encoder | None,
) -> SearchableCollection:
    """What reranks: the collection given, the one in a directory, or an encoder without any.

    Raises:
        InvalidInputError: nothing came, or a collection beside path or encoder.
        InvalidTypeError: collection is something else.
        StoreError: there is no collection at the path.
    """
    if collection is None and path is None:
        if encoder is None:
            raise InvalidInputError("give either collection= or encoder=; neither came.")
        return EncoderAlone(encoder)
    return opened(collection, path, encoder)


def _alone(
    collection: SearchableCollection | None, path: str | PathLike[str] | None, encoder: Encoder | None
) -> SearchableCollection:
    if collection is not None and (path is not None or encoder is not None):
        beside = "path=" if path is not None else "encoder="
        raise InvalidInputError(
            f"give either collection= or {beside}; both came, and a collection is open already."
        )
    return checked(collection)


def refuse(
    arguments: Iterable[str],
    known: Iterable[str],
    where: str,
    advice: Mapping[str, str] | None = None,
) -> None:
    """Keywords that a framework lets through, and that would be dropped in silence.

    Args:
        arguments: names that came.
        known: names that are used.
        where: the class or method, as the message names it.
        advice: for a name that is often put into the wrong place, the words that say where it goes.
    Raises:
        UnknownOptionError: a name is not among the known ones; the message has the nearest.
    """
    names = sorted(set(known))
    unknown = sorted(set(arguments) - set(names))
    if not unknown:
        return
    first = unknown[0]
    near = get_close_matches(first, names, n=1)
    if advice is not None and first in advice:
        help = f": {advice[first]}"
    elif near:
        help = f": did you mean {near[0]}?"
    else:
        help = f": it takes {', '.join(names)}." if names else "."
    raise UnknownOptionError(f"{where} does not take {', '.join(unknown)}{help}")
