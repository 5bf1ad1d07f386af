"""An export: a file in the format Parquet with one row a document, its windows and their rows as they are stored.

docs/moving.md describes the columns. pyarrow reads and writes the file, and is loaded when one is opened.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from retrievers.collection.streaming import digest_of
from retrievers.errors import CorruptStoreError, FormatVersionError, MissingExtraError, StoreError
from retrievers.kernels.rows import RowForm
from retrievers.types import Document, EncodedText, QuantizedMatrix

FORMATS = {8: 1, 4: 2}  # of the file, by the bits of its rows
MARK = "maxsim-retrievers"  # key of our own metadata in those of the file
GROUP = 256  # documents in a row group, which are read together
BESIDE = ["id", "text", "context", "metadata", "source", "attachment"]  # what a Document has
ENCODED = ["starts", "ends", "tokens", "rows", "scales"]  # what an EncodedText has


def write(
    path: Path,
    fingerprint: Mapping[str, Any],
    bits: int,
    documents: Iterator[tuple[Document, EncodedText]],
    advance: Callable[[int], Any],
) -> int:
    """Write an export; see Movable.export.

    Args:
        bits: of a number of the rows.
        advance: called with the number of documents that were written.
    """
    pyarrow, parquet = _pyarrow()
    schema = _schema(pyarrow)
    if os.path.lexists(path):
        raise StoreError(f"{str(path)!r} exists already: give the export another name.")
    unfinished = path.with_name(f".{path.name}.unfinished")
    count = 0
    try:
        with open(unfinished, "wb") as file:
            with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
                while group := list(islice(documents, GROUP)):
                    columns = [_columns(document, encoded, bits) for document, encoded in group]
                    writer.write_table(
                        pyarrow.Table.from_pylist(columns, schema=schema), row_group_size=GROUP
                    )
                    count += len(group)
                    advance(len(group))
                head = {"format": FORMATS[bits], "fingerprint": dict(fingerprint), "documents": count}
                writer.add_key_value_metadata({MARK: json.dumps(head, sort_keys=True)})
            file.flush()
            os.fsync(file.fileno())
        os.rename(unfinished, path)
    except (OSError, pyarrow.ArrowException) as error:
        if isinstance(error, StoreError):
            raise
        raise StoreError(f"the export {str(path)!r} cannot be written: {error}.") from error
    finally:
        with suppress(OSError):
            os.unlink(unfinished)
    return count


class Export:
    """An export that is read, some documents at a time.

    Args:
        path: the file.
    Raises:
        MissingExtraError: pyarrow is not installed.
        StoreError: there is no such file.
        CorruptStoreError: it is no export, or damaged.
        FormatVersionError: a newer version wrote it.

    Attributes:
        fingerprint: of the model that encoded the documents.
        bits: of a number of the rows.
    """

    def __init__(self, path: Path) -> None:
        pyarrow, parquet = _pyarrow()
        self._damages = (pyarrow.ArrowException, OSError, ValueError, TypeError, KeyError)
        self._path = path
        if not path.is_file():
            raise StoreError(f"there is no export {str(path)!r}: make one with collection.export(path).")
        try:
            self._file = parquet.ParquetFile(path)
            head = json.loads((self._file.metadata.metadata or {}).get(MARK.encode(), b"null"))
        except self._damages as error:
            raise self._damaged(error) from error
        if not isinstance(head, Mapping):
            self.close()
            raise CorruptStoreError(f"{str(path)!r} is no export: collection.export(path) makes one.")
        found = [bits for bits, number in FORMATS.items() if number == head.get("format")]
        if not found:
            self.close()
            raise FormatVersionError(
                f"{str(path)!r} has format {head.get('format')!r}, and this version reads {min(FORMATS.values())} to "
                f"{max(FORMATS.values())}: use the one that wrote it."
            )
        [self.bits] = found
        try:
            self.fingerprint: dict[str, Any] = dict(head["fingerprint"])
            self._form = RowForm(int(self.fingerprint["dim"]), self.bits)
            if not self._file.schema_arrow.equals(_schema(pyarrow)):
                raise ValueError(f"its columns are {self._file.schema_arrow.names}")
            self._ids: list[str] = self._file.read(["id"]).column("id").to_pylist()
            if len(self._ids) != head["documents"]:
                raise ValueError(f"it has {len(self._ids)} documents where {head['documents']} are counted")
        except self._damages as error:
            self.close()
            raise self._damaged(error) from error
        self._places = {key: place for place, key in enumerate(self._ids)}

    def ids(self) -> list[str]:
        """The ids of all documents, in order of insertion."""
        return list(self._ids)

    def get(self, ids: Iterable[str]) -> list[Document]:
        """Those of some documents that are there, in the order asked."""
        return [self._document(row) for row in self._rows(ids, BESIDE)]

    def digests(self, ids: Iterable[str]) -> dict[str, bytes]:
        """The digest of spans, rows and scales of those documents that are there."""
        return {row["id"]: row["digest"] for row in self._rows(ids, ["id", "digest"])}

    def stream(self, ids: Iterable[str]) -> Iterator[tuple[Document, EncodedText]]:
        """Those of some documents that are there, with their windows.

        Raises:
            CorruptStoreError: the rows of one do not fit its digest.
        """
        names = list(ids)
        for first in range(0, len(names), GROUP):
            for row in self._rows(names[first : first + GROUP], [*BESIDE, *ENCODED, "digest"]):
                yield self._document(row), self._encoded(row)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Export:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _rows(self, ids: Iterable[str], columns: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Some columns of some documents, in the order asked; their row groups are read once."""
        names = [key for key in ids if key in self._places]
        try:
            read = self._groups(sorted({self._places[key] // GROUP for key in names}), columns)
        except self._damages as error:
            raise self._damaged(error) from error
        return (read[key] for key in names)

    def _groups(self, groups: Sequence[int], columns: Sequence[str]) -> dict[str, dict[str, Any]]:
        if not groups:
            return {}
        table = self._file.read_row_groups(list(groups), columns=list(columns))
        return {row["id"]: row for row in table.to_pylist()}

    def _document(self, row: Mapping[str, Any]) -> Document:
        try:
            attachment = row["attachment"]
            return Document(
                row["text"],
                row["id"],
                json.loads(row["metadata"]),
                row["context"],
                row["source"],
                None if attachment is None else json.loads(attachment),
            )
        except self._damages as error:
            raise self._damaged(error) from error

    def _encoded(self, row: Mapping[str, Any]) -> EncodedText:
        try:
            scales = np.frombuffer(row["scales"], "<f4").astype(np.float32)
            rows = np.frombuffer(row["rows"], np.uint8).reshape(len(scales), self._form.row_bytes)
            bounds = np.cumsum([0, *row["tokens"]]).tolist()
            if bounds[-1] != len(scales):
                raise ValueError(
                    f"document {row['id']!r} has {len(scales)} rows where {bounds[-1]} are counted"
                )
            parts = [slice(*pair) for pair in pairwise(bounds)]
            spans = list(zip(row["starts"], row["ends"], strict=True))
            matrices = [QuantizedMatrix(rows[part], scales[part], self.bits) for part in parts]
            made = EncodedText(spans, matrices)
            if digest_of(made, self.bits) != row["digest"]:
                raise ValueError(f"the rows of document {row['id']!r} do not fit their digest")
            return made
        except self._damages as error:
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> CorruptStoreError:
        return CorruptStoreError(f"the export {str(self._path)!r} cannot be read: {error}. Make it anew.")


def _columns(document: Document, encoded: EncodedText, bits: int) -> dict[str, Any]:
    matrices = [one for one in encoded.matrices if isinstance(one, QuantizedMatrix)]
    attachment = document.attachment
    return {
        "id": document.id,
        "text": document.text,
        "context": document.context,
        "metadata": json.dumps(dict(document.metadata), ensure_ascii=False),
        "source": document.source,
        "attachment": None if attachment is None else json.dumps(dict(attachment), ensure_ascii=False),
        "starts": [start for start, _ in encoded.spans],
        "ends": [end for _, end in encoded.spans],
        "tokens": [len(one) for one in matrices],
        "rows": b"".join(one.rows.tobytes() for one in matrices),
        "scales": b"".join(one.scales.astype("<f4").tobytes() for one in matrices),
        "digest": digest_of(encoded, bits),
    }


def _schema(pyarrow: Any) -> Any:
    text, places = pyarrow.large_string(), pyarrow.list_(pyarrow.int64())
    kinds = dict.fromkeys(BESIDE, text) | dict.fromkeys(ENCODED[:3], places)
    kinds |= {"rows": pyarrow.large_binary(), "scales": pyarrow.large_binary(), "digest": pyarrow.binary(16)}
    return pyarrow.schema(list(kinds.items()))


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise MissingExtraError(
            'exports are in the format Parquet, which needs pyarrow: pip install "maxsim-retrievers[parquet]"'
        ) from error
    return pyarrow, parquet
