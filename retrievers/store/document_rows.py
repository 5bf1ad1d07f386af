"""The row of a document: its checksums, and the document that is read of it."""

from __future__ import annotations

import zlib
from typing import Any

from retrievers.errors import CorruptStoreError
from retrievers.store.stored_json import json_object
from retrievers.types import Document

CURE = "Delete the document and add it again, or restore the directory from a backup."


def text_checksum(key: str, context: str, text: str) -> int:
    """CRC-32 of a document's id, context and text."""
    return _checksum(key, context, text)


def extras_checksum(key: str, source: str | None, attachment: str) -> int:
    """CRC-32 of a document's id, source, if it has one, and attachment."""
    return _checksum(key, *([] if source is None else [source]), attachment)


def _checksum(*parts: str) -> int:
    checksum = 0
    for part in parts:
        data = part.encode()
        checksum = zlib.crc32(data, zlib.crc32(len(data).to_bytes(8, "little"), checksum))
    return checksum


def checked(
    key: object,
    context: object,
    text: object,
    checksum: object,
    metadata: object,
    metadata_checksum: object,
    source: object = None,
    attachment: object = None,
    extras: object = None,
) -> Document:
    """A document out of one row, if the row is what was written.

    Raises:
        CorruptStoreError: it is not.
    """
    if not (
        isinstance(key, str)
        and isinstance(context, str)
        and isinstance(text, str)
        and text_checksum(key, context, text) == checksum
    ):
        raise CorruptStoreError(f"the text of document {key!r} does not fit its checksum. {CURE}")
    values = checked_metadata(key, metadata, metadata_checksum)
    if attachment is None and extras is None:
        return Document(text, key, values, context)
    source, attachment = check_extras(key, source, attachment, extras)
    return Document(text, key, values, context, source, _object(key, "attachment", attachment))


def check_extras(key: object, source: object, attachment: object, checksum: object) -> tuple[str | None, str]:
    """A document's source and attachment, if they are what was written."""
    if (
        not isinstance(key, str)
        or not isinstance(attachment, str)
        or not (source is None or isinstance(source, str))
        or extras_checksum(key, source, attachment) != checksum
    ):
        raise CorruptStoreError(f"what is kept beside document {key!r} does not fit its checksum. {CURE}")
    return source, attachment


def checked_metadata(key: object, metadata: object, checksum: object) -> dict[str, Any]:
    """The metadata of one row, if they are what was written.

    Raises:
        CorruptStoreError: they are not.
    """
    if not isinstance(metadata, str) or zlib.crc32(metadata.encode()) != checksum:
        raise CorruptStoreError(f"the metadata of document {key!r} do not fit their checksum. {CURE}")
    return _object(key, "metadata", metadata)


def _object(key: object, what: str, text: str) -> dict[str, Any]:
    try:
        return json_object(text)
    except (ValueError, RecursionError) as error:
        raise CorruptStoreError(
            f"the {what} of document {key!r} are nothing that is ever stored: {error}. {CURE}"
        ) from None
