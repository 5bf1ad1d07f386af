"""The documents that a call is given: checked all at once if they have a length, and batch by batch if not."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any
from uuid import uuid4

from retrievers.arguments import ID_BYTES, TEXT_BYTES, each, is_column, is_iterator, listed, shown, text
from retrievers.collection.metadata import json_object
from retrievers.collection.validate import identifier
from retrievers.errors import InvalidInputError, InvalidTypeError
from retrievers.types import Document, Metadatas, Names, Texts

END = object()


def whole(items: Texts, ids: Names = None, metadatas: Metadatas = None) -> list[Document]:
    """Texts and documents as documents with an id each.

    Args:
        items: texts, or documents.
        ids: one for each item; each beats the document's own. Where there is neither, an id is made up (uuid4).
        metadatas: one for each item; each beats the document's own.
    Returns:
        New documents whose metadata are plain dicts and lists.
    Raises:
        InvalidTypeError: an argument is no sequence (arguments.listed), or an item, id or metadata has the wrong type.
        InvalidInputError: lengths differ, an id is empty or stands twice, metadata is not JSON, or a limit of
            retrievers.arguments is exceeded.
    """
    given = listed(items, "documents", "document")
    return _checked(given, _beside(ids, "ids", given), _beside(metadatas, "metadatas", given), 0, {})


def batches(
    items: Texts, ids: Names = None, metadatas: Metadatas = None, *, size: int
) -> Iterator[list[Document]]:
    """The same in batches, of which each is to be stored before the next is asked for.

    Documents that have a length are checked all at once before the first batch. An iterator may be too long for the
    memory, or have no end: it is read and checked a batch at a time, and ids and metadatas with it.

    Raises:
        InvalidTypeError, InvalidInputError: as `whole`. Where batches of an iterator came before, `added` is the
            number of their documents, and the message says that they are stored.
    """
    if not is_iterator(items):
        checked = whole(items, ids, metadatas)
        yield from (checked[first : first + size] for first in range(0, len(checked), size))
        return
    source = each(items, "documents", "document")
    beside = {
        name: each(values, name, "document")
        for name, values in (("ids", ids), ("metadatas", metadatas))
        if values is not None
    }
    seen: dict[str, int] = {}
    added, complete = 0, False
    while not complete:
        try:
            given = list(islice(source, size))
            complete = len(given) < size
            columns = {name: list(islice(values, len(given))) for name, values in beside.items()}
            for name, column in columns.items():
                if len(column) < len(given):
                    raise InvalidInputError(
                        f"document {added + len(column)} has none of the {name}: give one for each document."
                    )
                if complete and next(beside[name], END) is not END:
                    raise InvalidInputError(
                        f"{added + len(given)} documents but more {name}: give one for each document."
                    )
            checked = _checked(given, columns.get("ids"), columns.get("metadatas"), added, seen)
        except (InvalidInputError, InvalidTypeError) as error:
            if not added:
                raise
            raised = type(error)(f"{error} The {added} documents of earlier batches are stored.")
            raised.added = added
            raise raised from None
        if checked:
            yield checked
        added += len(checked)


def _beside(values: Iterable[Any] | None, name: str, items: list[Any]) -> list[Any] | None:
    """The ids or metadata that go with some documents, as many as there are documents."""
    if values is None:
        return None
    column = listed(values, name, "document", len(items) + 1 if is_iterator(values) else None)
    if len(column) != len(items):
        found = (
            f"{len(column)} {name}" if len(column) < len(items) or not is_iterator(values) else f"more {name}"
        )
        raise InvalidInputError(f"{len(items)} documents but {found}: give one for each document.")
    if name == "ids" and is_column(values) and None in column:
        raise InvalidTypeError(
            f"the id of document {column.index(None)} is missing in the column of ids: fill it, or give a list, "
            "in which None has an id made."
        )
    return column


def _checked(
    items: list[Any], ids: list[Any] | None, metadatas: list[Any] | None, first: int, seen: dict[str, int]
) -> list[Document]:
    """New documents, of which the first has the place `first`; `seen` maps each id that was met to its place."""
    checked = []
    for place, item in enumerate(items):
        key = None if ids is None else ids[place]
        metadata = None if metadatas is None else metadatas[place]
        document = _document(first + place, item, key, metadata)
        before = seen.setdefault(str(document.id), first + place)
        if before != first + place:
            raise InvalidInputError(
                f"id {shown(document.id)} stands twice in one call, at places {before} and {first + place}."
            )
        checked.append(document)
    return checked


def _document(place: int, item: object, given: object, metadata: object) -> Document:
    item = Document(item) if isinstance(item, str) else item
    if not isinstance(item, Document):
        raise InvalidTypeError(
            f"document {place} is {shown(item)} of type {type(item).__name__}: a str or a Document is needed."
        )
    key = given if given is not None else item.id
    content = text(item.text, f"the text of document {place}", TEXT_BYTES)
    # Text and context are one row of the catalogue, so that they share the limit.
    left = TEXT_BYTES - len(content.encode())
    return Document(
        content,
        uuid4().hex if key is None else identifier(key, f"the id of document {place}"),
        json_object(metadata if metadata is not None else item.metadata, f"the metadata of document {place}"),
        text(item.context, f"the context of document {place}", left),
        None if item.source is None else identifier(item.source, f"the source of document {place}"),
        None
        if item.attachment is None
        else json_object(item.attachment, f"the attachment of document {place}"),
    )


def keeps_stored(document: Document) -> bool:
    """Whether a document that replaces another leaves what is kept beside that one as it is."""
    return not document.context and document.source is None and document.attachment is None


def with_context(document: Document, stored: Document | None) -> Document:
    """A document with the context of the stored one, if an adapter made that one.

    Adapters make the context of the metadata: it is true as long as these are the same, in the same order.
    """
    if stored is None or stored.attachment is None or not keeps_stored(document):
        return document
    same = json.dumps(dict(stored.metadata)) == json.dumps(dict(document.metadata))
    return replace(document, context=stored.context) if same else document


def metadata_by_id(ids: Iterable[str], metadatas: Iterable[Any]) -> dict[str, dict[str, Any]]:
    """The metadata that stored documents are given, by their ids.

    Raises:
        InvalidTypeError, InvalidInputError: as `whole`, for ids and metadata.
    """
    keys = [identifier(key) for key in listed(ids, "ids", "document")]
    column = _beside(listed(metadatas, "metadatas", "document"), "metadatas", keys) or []
    if len(set(keys)) != len(keys):
        raise InvalidInputError("an id stands twice in one call: give each document once.")
    return {
        key: json_object(one, f"the metadata of {shown(key)}") for key, one in zip(keys, column, strict=True)
    }


def loose(items: Texts) -> list[Document]:
    """Documents to rerank: ids are optional and may stand twice, and metadata may hold any Python object.

    Raises:
        InvalidTypeError, InvalidInputError: as `whole`.
    """
    checked = []
    for place, item in enumerate(each(items, "documents", "document")):
        item = Document(item) if isinstance(item, str) else item
        if not isinstance(item, Document):
            raise InvalidTypeError(
                f"document {place} is {shown(item)} of type {type(item).__name__}: a str or a Document is needed."
            )
        if not isinstance(item.metadata, Mapping):
            raise InvalidTypeError(
                f"the metadata of document {place} is {shown(item.metadata)}: a dict is needed."
            )
        content = text(item.text, f"the text of document {place}")
        key = None if item.id is None else text(item.id, f"the id of document {place}", ID_BYTES)
        context = text(item.context, f"the context of document {place}")
        checked.append(Document(content, key, item.metadata, context))
    return checked
