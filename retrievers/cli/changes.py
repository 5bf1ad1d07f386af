"""What indexing a folder changes: which stored document is which file, and what is new, changed and gone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from retrievers.cli.files import File, LeftOut, Scan, UnreadableFileError, text_of
from retrievers.collection import Collection
from retrievers.errors import InvalidInputError
from retrievers.types import Document

CHUNK = 256  # files whose stored documents are looked up together


@dataclass(slots=True)
class Changes:
    """What is to be done.

    Attributes:
        new: documents whose file the collection does not have.
        changed: documents whose file it has with another text.
        unchanged: how many files it has as they are.
        claimed: documents of an earlier version that only get their folder; their texts are as they were.
        removed: ids of documents whose file is gone.
        left_out: files that are not read.
    """

    new: list[Document] = field(default_factory=list)
    changed: list[Document] = field(default_factory=list)
    unchanged: int = 0
    claimed: list[Document] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)

    @property
    def documents(self) -> list[Document]:
        """What is to be added."""
        return [*self.claimed, *self.changed, *self.new]


def location(root: str, name: str) -> str:
    """Where a file lies, which is its id: the folder, a slash and the name below it."""
    return f"{root.rstrip('/')}/{name}"


def compare(
    collection: Collection | None, found: Scan, root: str, *, adopt: bool | None = None, prune: bool = False
) -> Changes:
    """Compare files with a collection. Nothing is changed, and no model is needed.

    Args:
        collection: None stands for an empty one.
        found: the files.
        root: stands for the folder in ids; found.root, or what the folder was called before it was moved.
        adopt: whether documents without a folder, which an earlier version made, are these files where the names
            agree; None takes them if at least half of them have the file's text.
        prune: also find documents of this folder whose file is gone.
    Raises:
        InvalidInputError: documents without a folder have these names and mostly other texts, and adopt is None.
    """
    changes = Changes(left_out=list(found.left_out))
    doubtful: list[tuple[Document, Document]] = []
    for first in range(0, len(found.files), CHUNK):
        documents = list(_read(found.files[first : first + CHUNK], root, changes))
        stored = {} if collection is None else _stored(collection, documents)
        for document in documents:
            before = _same_file(document, stored)
            legacy = stored.get(document.metadata["path"])
            if before is not None:
                _sort(document, before, changes)
            elif legacy is not None and _without_folder(legacy):
                doubtful.append((document, legacy))
            else:
                changes.new.append(document)
    _decide(doubtful, adopt, changes)
    if prune and collection is not None:
        changes.removed = _gone(collection, found, root)
    return changes


def lies_below(document: Document, folder: str) -> bool:
    """Whether a document was made by `retrievers index` of a file that lies at a place or below it."""
    place = _place(document)
    return place is not None and (place == folder or place.startswith(location(folder, "")))


def _read(files: Sequence[File], root: str, changes: Changes) -> Iterator[Document]:
    for file in files:
        try:
            text = text_of(file)
        except UnreadableFileError as error:
            changes.left_out.append(LeftOut(file.name, str(error), False))
            continue
        yield Document(text, location(root, file.name), {"path": file.name, "root": root, "kind": file.kind})


def _stored(collection: Collection, documents: Sequence[Document]) -> dict[str, Document]:
    """Stored documents that may be these files: an id of an earlier version is the end of a location."""
    ids: dict[str, None] = {}
    for document in documents:
        parts = str(document.id).split("/")
        ids |= dict.fromkeys("/".join(parts[first:]) for first in range(len(parts)) if parts[first:] != [""])
    return {str(document.id): document for document in collection.get([one for one in ids if one])}


def _same_file(document: Document, stored: dict[str, Document]) -> Document | None:
    place = str(document.id)
    if place in stored:
        return stored[place]
    parts = place.split("/")
    for first in range(1, len(parts)):
        before = stored.get("/".join(parts[first:]))
        if before is not None and _place(before) == place:
            return before
    return None


def _sort(document: Document, before: Document, changes: Changes) -> None:
    """Put a document that is stored where it belongs. It keeps its id, and what else its metadata have."""
    after = replace(document, id=before.id, metadata={**document.metadata, **before.metadata})
    if after.text != before.text or before.context:
        changes.changed.append(after)
    else:
        changes.unchanged += 1
        if after.metadata != before.metadata:
            changes.claimed.append(after)


def _decide(doubtful: Sequence[tuple[Document, Document]], adopt: bool | None, changes: Changes) -> None:
    if adopt is None and doubtful:
        equal = sum(document.text == legacy.text for document, legacy in doubtful)
        if 2 * equal < len(doubtful):
            raise InvalidInputError(
                f"{len(doubtful)} documents, such as {doubtful[0][1].id!r}, were indexed by an earlier version, which "
                f"did not record the folder, and only {equal} of them have the text of the file of that name here. "
                "Say --adopt if they are files of this folder, or --no-adopt if they are another's."
            )
        adopt = True
    for document, legacy in doubtful:
        if adopt:
            _sort(document, legacy, changes)
        else:
            changes.new.append(document)


def _gone(collection: Collection, found: Scan, root: str) -> list[str]:
    """Ids of documents of this folder whose file is not there.

    What could not be listed may still be there, and so may what lies in a link that is not followed now.
    """
    files = {location(root, file.name) for file in found.files}
    hidden = {
        location(root, name).rstrip("/") for name in [one.name for one in found.left_out] + found.unread
    }

    def gone(document: Document) -> bool:
        place = _place(document)
        if place is None or place in files or not lies_below(document, root):
            return False
        parts = place.split("/")
        return hidden.isdisjoint("/".join(parts[:last]) for last in range(1, len(parts) + 1))

    return [str(document.id) for document in collection.get(filter=gone)]


def _place(document: Document) -> str | None:
    """Where the file of a document lies; None for a document of another origin or of an earlier version."""
    root, path = document.metadata.get("root"), document.metadata.get("path")
    return location(root, path) if isinstance(root, str) and isinstance(path, str) else None


def _without_folder(document: Document) -> bool:
    metadata: Any = document.metadata
    return "root" not in metadata and "kind" in metadata and metadata.get("path") == document.id
