"""Which columns of a dataset are a document's id, text, context and metadata."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from retrievers.arguments import text
from retrievers.collection import incoming
from retrievers.errors import InvalidInputError, InvalidTypeError
from retrievers.types import Document


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of a dataset that make a document.

    Attributes:
        text: texts.
        id: ids, texts or whole numbers; None takes a digest of context and text in place of an id, so that equal
            texts are one document.
        context: what stands before each text when it is encoded, such as a title; None where there is nothing.
        metadata: columns that become the document's metadata, under their own names. Values are what JSON has.
    Raises:
        InvalidTypeError, InvalidInputError: a name is no str or empty, or metadata has one twice.
    """

    text: str = "text"
    id: str | None = "id"
    context: str | None = None
    metadata: Sequence[str] = ()

    def __post_init__(self) -> None:
        if isinstance(self.metadata, str) or not isinstance(self.metadata, Sequence):
            raise InvalidTypeError(
                f"metadata is {self.metadata!r}: a list of names of columns is needed, such as ['year']."
            )
        for name in self.names:
            if not text(name, "the name of a column"):
                raise InvalidInputError("the name of a column is empty: give the dataset's own.")
        if len(set(self.metadata)) != len(self.metadata):
            raise InvalidInputError(f"metadata names a column twice: {', '.join(self.metadata)}.")

    @property
    def names(self) -> list[str]:
        """Every column that is read, once."""
        given = [self.text, self.id, self.context, *self.metadata]
        return list(dict.fromkeys(name for name in given if name is not None))

    def check(self, there: Sequence[str]) -> None:
        """Raise InvalidInputError where a dataset has not all of the columns.

        Args:
            there: the columns of the dataset.
        """
        missing = [name for name in self.names if name not in there]
        if missing:
            raise InvalidInputError(
                f"the dataset has no column {missing[0]!r}; it has {', '.join(map(repr, there))}: say by "
                "Columns(text=…, id=…, metadata=[…]) which of them make a document."
            )

    def documents(self, rows: Sequence[Mapping[str, Any]]) -> list[Document]:
        """Rows as documents with ids.

        Raises:
            InvalidTypeError, InvalidInputError: see retrievers.collection.incoming.whole.
        """
        made = [self._document(row) for row in rows]
        return incoming.whole(made)

    def _document(self, row: Mapping[str, Any]) -> Document:
        content = text(row[self.text], f"a value of the column {self.text!r}")
        context = "" if self.context is None else row[self.context]
        context = text("" if context is None else context, f"a value of the column {self.context!r}")
        metadata = {name: row[name] for name in self.metadata if row[name] is not None}
        return Document(content, self._id(row, context, content), metadata, context)

    def _id(self, row: Mapping[str, Any], context: str, content: str) -> str:
        if self.id is None:
            digest = blake2b(len(context.encode()).to_bytes(8, "little"), digest_size=16)
            digest.update(context.encode() + content.encode())
            return digest.hexdigest()
        value = row[self.id]
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if not isinstance(value, str):
            raise InvalidTypeError(
                f"the column of ids, {self.id!r}, has {value!r} of type {type(value).__name__}: texts or whole "
                "numbers are needed. Columns(id=None) takes a digest of each text."
            )
        return value
