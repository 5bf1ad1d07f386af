"""What changes a collection: its methods that add, replace, update and delete documents."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from operator import length_hint
from typing import Any

from retrievers.collection import computed, incoming, indexing, streaming, validate
from retrievers.collection.reading import Reader
from retrievers.collection.searching import condition_of
from retrievers.display.progress import Progress
from retrievers.errors import InvalidInputError
from retrievers.store import Entry, Unchanged
from retrievers.types import Document, DocumentFilter, EncodedText, Matrices, Metadatas, Names, Texts

BATCH_DOCUMENTS = 256  # documents that one transaction of add commits: what an interruption can cost


class Changer(Reader):
    """The changing half of a collection."""

    def add(
        self,
        documents: Texts,
        *,
        ids: Names = None,
        metadatas: Metadatas = None,
        matrices: Matrices = None,
        fingerprint: Mapping[str, Any] | None = None,
        show_progress: bool | None = None,
    ) -> list[str]:
        """Encode and store documents. A document whose id is stored already takes the place of the stored one.

        A document whose id and text are stored is not encoded again, and only its metadata are updated. An add
        that was interrupted therefore does what is missing when it is called again. Each batch is committed when
        it is encoded, whole or not at all.

        Args:
            documents: texts, or Documents.
            ids: one for each document, or None to have them made up.
            metadatas: JSON objects, one for each document.
            matrices: what the model made of each document, where that was computed elsewhere; then nothing is encoded.
                One for each document: an array of floats, (tokens, dim), whose rows have length 1, for a document that
                is one window; or an EncodedText, with the span and the matrix of each window. Other rows than the
                stored ones replace them, also where the text is the same.
            fingerprint: `encoder.fingerprint` of the model that made the matrices; None says that it was the
                collection's own.
            show_progress: a progress bar; None shows it in a notebook, and where standard error is a terminal.
        Returns:
            The ids, in the order of the documents.
        Raises:
            InvalidInputError, InvalidTypeError: see retrievers.collection.incoming. What has a length is checked
                whole before anything is changed; an iterator is checked and stored batch by batch, and the error's
                `added` is the number of documents that are stored.
            ShapeError: a matrix is not (tokens, dim).
            ModelMismatchError: another model made the matrices.
            StoreLockedError: another writer did not finish within the timeout.
            StoreError: the disk is full or cannot be written; the batches before are safe.
        """
        shown = None if show_progress is None else validate.flag(show_progress, "show_progress")
        computed.check_fingerprint(self.store.fingerprint, fingerprint, matrices)
        batches = computed.batches(
            documents, ids, metadatas, matrices, size=BATCH_DOCUMENTS, form=self.store.form
        )
        total = length_hint(documents) or None
        added: list[str] = []
        with Progress(total, "Indexing", "documents", shown) as progress:
            for batch, made in batches:
                self._add_batch(batch, made, progress.advance)
                added += [str(document.id) for document in batch]
        return added

    def add_sources(
        self, documents: Texts, sources: Iterable[str], *, show_progress: bool | None = None
    ) -> list[str]:
        """Store all documents of some sources: they are added, and other documents of these sources are removed.

        That happens in the commit of the last batch, under the writer's lock. Of two such calls for one source at once
        the later one wins whole: a document of it that the other call removed meanwhile is stored again before that.

        Args:
            documents: texts, or Documents with their `source`.
            sources: the sources whose other documents are removed.
            show_progress: as for add.
        Returns:
            The ids, in the order of the documents.
        Raises:
            InvalidInputError, InvalidTypeError, StoreLockedError, StoreError: as for add.
        """
        names = frozenset(validate.identifiers(sources))
        # What these bring is all that is kept beside them, so that their content is known.
        checked = [replace(one, attachment=one.attachment or {}) for one in incoming.whole(documents)]
        last = max(len(checked) - 1, 0) // BATCH_DOCUMENTS * BATCH_DOCUMENTS
        self.add(checked[:last], show_progress=show_progress)
        earlier = {str(one.id): (one, indexing.content_hash(one)) for one in checked[:last]}
        while True:
            requires = {key: digest for key, (_, digest) in earlier.items()}
            lost = self._append(checked[last:], ignore, replaces=names, requires=requires)
            again = [earlier[key][0] for key in lost if key in earlier]
            if not lost:
                return [str(one.id) for one in checked]
            if again:
                self.add(again, show_progress=show_progress)

    def _add_batch(
        self, batch: Sequence[Document], made: Sequence[EncodedText] | None, advance: Callable[..., Any]
    ) -> None:
        lost = set(self._append(batch, advance, made))
        if lost:
            # Another writer has replaced or removed these meanwhile: once they are encoded they cannot be lost again.
            again = [(one, indexing.content_hash(one)) for one in batch if one.id in lost]
            self.store.append(self._entries(again, batch, made, ignore))

    def _append(
        self,
        batch: Sequence[Document],
        advance: Callable[..., Any],
        made: Sequence[EncodedText] | None = None,
        **conditions: Any,
    ) -> list[str]:
        """Encode what is not stored yet, and append a batch. Conditions and result are those of Store.append.

        Args:
            made: what a model made of each document; None encodes them.
        """
        known = self.store.content_hashes([str(document.id) for document in batch])
        if made is not None and known:
            known = streaming.of_equal_rows(self.store, known, computed.by_id(batch, made))
        pairs = [(document, indexing.content_hash(document)) for document in batch]
        if made is None:  # matrices that come are those of the context that comes
            pairs = self._with_contexts(pairs, known)
        stored = [Unchanged(*pair) for pair in pairs if known.get(str(pair[0].id)) == pair[1]]
        advance(len(stored))
        missing = [pair for pair in pairs if known.get(str(pair[0].id)) != pair[1]]
        return self.store.append(self._entries(missing, batch, made, advance), stored, **conditions)

    def _entries(
        self,
        pairs: Sequence[tuple[Document, bytes]],
        batch: Sequence[Document],
        made: Sequence[EncodedText] | None,
        advance: Callable[..., Any],
    ) -> list[Entry]:
        """Documents of a batch, with their content hashes, as entries: encoded unless a model did that already."""
        if made is not None:
            return self._counted(list(computed.entries(pairs, computed.by_id(batch, made), advance)))
        # A model that nothing needs is not loaded.
        return self._counted(list(indexing.entries(self.encoder, pairs, advance))) if pairs else []

    def _counted(self, entries: list[Entry]) -> list[Entry]:
        """Entries with the tokens that their documents have, where the collection counts them."""
        return indexing.counted(self.encoder, entries) if entries and self.store.counts_tokens() else entries

    def _with_contexts(
        self, pairs: Sequence[tuple[Document, bytes]], known: Mapping[str, bytes]
    ) -> list[tuple[Document, bytes]]:
        """Documents and their content hashes; where an adapter's context is stored and still true, it stays."""
        changed = [
            str(one.id)
            for one, digest in pairs
            if incoming.keeps_stored(one) and known.get(str(one.id), digest) != digest
        ]
        if not changed:
            return list(pairs)
        stored = {one.id: one for one in self.store.get(changed)}
        whole = [incoming.with_context(one, stored.get(one.id)) for one, _ in pairs]
        return [(one, indexing.content_hash(one)) for one in whole]

    def update(self, ids: Iterable[str], metadatas: Iterable[Mapping[str, Any]]) -> None:
        """Give stored documents other metadata, all in one commit. Their texts stay, and nothing is encoded.

        Args:
            ids: the documents.
            metadatas: JSON objects, one for each id.
        Raises:
            InvalidInputError: an id is not stored or stands twice, or the lengths differ; nothing was changed.
        """
        self.store.update(incoming.metadata_by_id(ids, metadatas))

    def delete(self, ids: Iterable[str] | None = None, *, filter: DocumentFilter | None = None) -> int:
        """Remove documents by id or by filter; an unknown id is no error.

        Returns:
            How many documents were removed.
        Raises:
            InvalidInputError: neither ids nor filter, or both were given, or the filter {}, which matches all.
            FilterError: see filters.parse.
        """
        if (ids is None) == (filter is None):
            raise InvalidInputError("delete needs ids or filter, one of the two; clear() removes everything.")
        if ids is not None:
            return self.store.delete(validate.identifiers(ids))
        condition = condition_of(filter)
        if condition is None:
            raise InvalidInputError(
                "the filter {} keeps every document, so that delete would remove them all: call clear() for that."
            )
        return self.store.delete_matching(condition)

    def delete_sources(self, sources: Iterable[str]) -> int:
        """Remove the documents that get_sources finds, all in one commit.

        Returns:
            How many documents were removed.
        """
        return self.store.delete_sources(validate.identifiers(sources))

    def delete_among(self, ids: Iterable[str], filter: DocumentFilter) -> int:
        """Remove those of some documents that a filter keeps, as they are when they are removed.

        Returns:
            How many documents were removed.
        Raises:
            FilterError: see filters.parse.
        """
        return self.store.delete_matching(condition_of(filter), validate.identifiers(ids))

    def clear(self) -> int:
        """Remove every document.

        Returns:
            How many there were.
        """
        return self.store.delete_matching(None)


def ignore(count: int, *, tokens: int = 0) -> None:
    """Take a count of documents and do nothing with it: nobody watches the progress."""
