"""A directory copied to a server, and a collection on a server copied into a directory, with their rows as they are."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from os import PathLike
from typing import Any

from qdrant_client import QdrantClient

from retrievers.collection import Collection, validate
from retrievers.collection.moving import count_copied, for_copy
from retrievers.collection.transfer import Copied, KnownModel, copy, with_bits
from retrievers.qdrant import streaming
from retrievers.qdrant.collection import QdrantCollection
from retrievers.qdrant.steps import run


def push(
    source: Collection,
    url_or_client: str | PathLike[str] | QdrantClient,
    name: str,
    *,
    alias: str | None = None,
    show_progress: bool | None = None,
    **options: Any,
) -> Copied:
    """Copy a collection to a server, without encoding, and compare the copy with it, every row.

    A push that was interrupted is called again: it goes on where it was.

    Args:
        source: the collection; nobody may change it meanwhile.
        url_or_client: the server, as for QdrantCollection.
        name: of the collection there, which is made if it is not there; it may hold documents of the source alone.
        alias: names the copy once it is complete and equal, in place of what it named before.
        show_progress: progress bars; None shows them in a notebook, and where standard error is a terminal.
        options: how a new collection is made and reached, as for QdrantCollection.
    Returns:
        What was compared.
    Raises:
        ModelMismatchError: the collection there is another model's.
        InvalidInputError: it holds documents that the source does not have; nothing was changed.
        StoreError: the server refused, or the two are not equal afterwards.
    """
    shown = None if show_progress is None else validate.flag(show_progress, "show_progress")
    model = KnownModel(source.fingerprint)
    options = with_bits(options, source.bits)
    with QdrantCollection(url_or_client, name, model, **options) as destination:

        def arrange(names: Sequence[str]) -> None:
            run(streaming.arrange(destination._calls.layout, names), destination._connection)

        copied = copy(source, destination, doing="Pushing", arrange=arrange, show_progress=shown)
        if alias is not None:
            destination.publish(alias)
    return copied


def pull(
    url_or_client: str | PathLike[str] | QdrantClient,
    name: str,
    path: str | PathLike[str],
    *,
    show_progress: bool | None = None,
    **options: Any,
) -> Copied:
    """Copy a collection on a server into a directory, without encoding, and compare the copy with it, every row.

    A pull that was interrupted is called again: it goes on where it was.

    Args:
        url_or_client: the server, as for QdrantCollection.
        name: of the collection there, or an alias of one; nobody may change it meanwhile.
        path: a directory, created if it is not there; it may hold documents of the source alone.
        show_progress: progress bars; None shows them in a notebook, and where standard error is a terminal.
        options: how the server is reached: `api_key`, `timeout` and `prefer_grpc`.
    Returns:
        What was compared.
    Raises:
        ModelMismatchError: the directory is another model's.
        InvalidInputError: it holds documents that the source does not have; nothing was changed.
        StoreError: there is no such collection, the server or the disk refused, or the two are not equal afterwards.
    """
    shown = None if show_progress is None else validate.flag(show_progress, "show_progress")
    directory = validate.file(path)
    with (
        QdrantCollection(url_or_client, name, **options) as source,
        for_copy(Collection, directory, source.fingerprint, bits=source.bits) as destination,
    ):
        copied = copy(source, destination, doing="Pulling", show_progress=shown)
        fingerprint = source.fingerprint
    count_copied(partial(Collection.open, directory), fingerprint, shown)
    return copied
