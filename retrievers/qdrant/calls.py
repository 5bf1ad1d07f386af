"""What each call of a collection does, as steps: arguments are checked first, then the server is asked."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from operator import length_hint
from typing import Any

from retrievers.collection import computed, incoming, indexing, questions, validate
from retrievers.collection.hits import explicable
from retrievers.collection.searching import FIRST_OF_GROUPS, Options, condition_of, grouped, with_texts
from retrievers.display.progress import Progress
from retrievers.encoder import LateInteractionEncoder, identity
from retrievers.errors import InvalidInputError, NoWordsError
from retrievers.qdrant import evidence, reading, writing
from retrievers.qdrant.blending import blended
from retrievers.qdrant.passages import with_passages
from retrievers.qdrant.schema import Layout
from retrievers.qdrant.searching import search
from retrievers.qdrant.steps import Compute, Step, Steps, run
from retrievers.store import Entry
from retrievers.types import (
    Document,
    DocumentFilter,
    EncodedText,
    Encoder,
    Evidence,
    Hit,
    Hits,
    Matrices,
    Metadatas,
    Names,
    Query,
    Texts,
    TokenMatrix,
)

LARGE = 10_000  # windows: beyond that a request asks for no more than there are
MOST_CANDIDATES = 3000  # unless a search says more
SIZE_AGE = 60.0  # seconds for which the number of windows is not asked for again


class Calls:
    """The steps of each call; they are the same for a client that waits and for one that is awaited.

    Args:
        layout: of the collection.
        encoder: the model; None loads the one that wrote the collection when it is first needed.
        candidates: windows that are scored for a question where the search does not say it.
        answer: the client that waits, for what hits are asked about themselves.

    Attributes:
        known: the model, if it was given or is loaded by now.
    """

    def __init__(
        self,
        layout: Layout,
        encoder: Encoder | None,
        candidates: int | None,
        answer: Callable[[Step], Any],
    ) -> None:
        self.layout = layout
        self.answer = answer
        self.candidates = candidates
        self.known = encoder
        self._size = (0, float("-inf"))

    @property
    def encoder(self) -> Encoder:
        """The model, loaded on first use if the collection was opened without one."""
        if self.known is None:
            encoder = LateInteractionEncoder.from_fingerprint(self.layout.fingerprint)
            identity.check(self.layout.fingerprint, encoder.fingerprint, "this collection")
            self.known = encoder
        return self.known

    def take(self, encoder: Encoder) -> None:
        """Go on with an encoder that is at hand.

        Raises:
            ModelMismatchError: the collection was written with another one.
        """
        identity.check(self.layout.fingerprint, encoder.fingerprint, "this collection")
        self.known = encoder

    def add(
        self,
        documents: Texts,
        ids: Names,
        metadatas: Metadatas,
        matrices: Matrices,
        fingerprint: Mapping[str, Any] | None,
        show_progress: bool | None,
    ) -> Steps[list[str]]:
        shown = None if show_progress is None else validate.flag(show_progress, "show_progress")
        computed.check_fingerprint(self.layout.fingerprint, fingerprint, matrices)
        batches = computed.batches(
            documents, ids, metadatas, matrices, size=writing.BATCH_DOCUMENTS, form=self.layout.form
        )
        numbers: Iterator[int] | None = None
        total = length_hint(documents) or None
        added: list[str] = []
        with Progress(total, "Indexing", "documents", shown) as progress:
            while True:
                # The user's iterator may wait.
                batch, made = yield Compute(lambda: next(batches, ([], None)))
                if not batch:
                    return added
                if numbers is None:
                    numbers = yield from writing.places(self.layout)
                entries = partial(self._entries, batch, made)
                yield from writing.add(self.layout, batch, made, entries, numbers, progress.advance)
                added += [str(document.id) for document in batch]

    def _entries(
        self,
        batch: Sequence[Document],
        made: Sequence[EncodedText] | None,
        pairs: Sequence[tuple[Document, bytes]],
    ) -> Iterator[Entry]:
        """Documents of a batch, with their content hashes, as entries: encoded unless a model did that already."""
        if made is not None:
            yield from computed.entries(pairs, computed.by_id(batch, made))
        elif pairs:  # a model that nothing needs is not loaded
            yield from indexing.entries(self.encoder, pairs)

    def delete(self, ids: Iterable[str] | None, filter: DocumentFilter | None) -> Steps[int]:
        if (ids is None) == (filter is None):
            raise InvalidInputError("delete needs ids or filter, one of the two; clear() removes everything.")
        if ids is not None:
            names = validate.identifiers(ids)
        else:
            condition = condition_of(filter)
            if condition is None:
                raise InvalidInputError(
                    "the filter {} keeps every document, so that delete would remove them all: call clear() for that."
                )
            found = yield from reading.matching(self.layout, condition)
            names = [head.id for head in found]
        return (yield from writing.delete(self.layout, names))

    def clear(self) -> Steps[int]:
        there = yield from reading.count(self.layout)
        yield from writing.clear(self.layout)
        return there

    def get(self, ids: Iterable[str] | None, filter: DocumentFilter | None) -> Steps[list[Document]]:
        if ids is not None:
            if filter is not None:
                raise InvalidInputError("get takes ids or filter, not both.")
            names = validate.identifiers(ids)
            found = yield from reading.heads(self.layout, names)
            return [found[key].document() for key in names if key in found]
        matching = yield from reading.matching(self.layout, condition_of(filter))
        return [head.document() for head in matching]

    def search(
        self,
        queries: Iterable[Query],
        options: Options,
        filter: DocumentFilter | None,
        ids: Iterable[str] | None,
        exact: bool,
        candidates: int | None,
    ) -> Steps[list[Hits]]:
        candidates = None if candidates is None else validate.count(candidates, "candidates")
        exact = validate.flag(exact, "exact")
        chosen = condition_of(filter)
        among = None if ids is None else validate.identifiers(ids)
        given = questions.all_checked(queries, self.layout.dim)
        options = with_texts(options, given)
        if options.words and not self.layout.words:
            raise NoWordsError(
                f"the collection {self.layout.name!r} was made without words: build a new one, "
                "QdrantCollection(url, name, encoder, words=True), or search without words=."
            )
        asked = yield Compute(lambda: questions.encoded(lambda: self.encoder, given, self.layout.dim))
        if exact:
            candidates = None
        elif candidates is None:
            candidates = self.candidates or default_candidates((yield from self._windows()))
        k = options.k if options.group_by is None else max(4 * options.k, FIRST_OF_GROUPS)
        found: list[list[Hit]] = [[] for _ in given]
        places = list(range(len(given)))
        while places:
            if max(k, candidates or 0) > LARGE:  # more than there are means all of them
                most = 1 + (yield from reading.counted(self.layout, True, exact=True))
                k, candidates = min(k, most), None if candidates is None else min(candidates, most)
            some = [asked[place] for place in places], [given[place].text for place in places]
            arguments = (self.layout, *some, k, chosen, among)
            if options.words or options.pooled:
                answers = yield from blended(*arguments, options, candidates=candidates)
            else:
                answers = yield from search(*arguments, candidates=candidates)
            deeper = []
            for place, answer in zip(places, answers, strict=True):
                kept = [hit for hit in answer if hit.normalized_score >= options.lowest]
                found[place] = kept if options.group_by is None else grouped(kept, options, {})
                if options.group_by is not None and len(found[place]) < options.k and len(kept) == k:
                    deeper.append(place)
            k, places = 4 * k, deeper
        if options.passages:
            found = yield from with_passages(self.layout, asked, found, options)
        return [
            self._hits(one, question.text, matrix)
            for question, matrix, one in zip(given, asked, found, strict=True)
        ]

    def rerank(
        self,
        query: Query,
        documents: Texts | None,
        ids: Iterable[str] | None,
        top_n: int | None,
        score_threshold: float | None,
    ) -> Steps[Hits]:
        if (documents is None) == (ids is None):
            raise InvalidInputError("rerank needs documents or ids, one of the two.")
        top_n = None if top_n is None else validate.count(top_n, "top_n")
        lowest = validate.threshold(score_threshold)
        question = questions.checked(query, self.layout.dim)
        if documents is not None:
            given = incoming.loose(documents)
        else:
            given = yield from evidence.stored(self.layout, validate.identifiers(ids or []))
        [matrix] = yield Compute(lambda: questions.encoded(lambda: self.encoder, [question], self.layout.dim))
        found = yield from evidence.rerank(self.layout, lambda: self.encoder, matrix, given)
        ranked = sorted(found, key=lambda hit: -hit.score)
        kept = [hit for hit in ranked if hit.normalized_score >= lowest][:top_n]
        return self._hits(kept, question.text, matrix, given)

    def _hits(
        self, found: Iterable[Hit], query: str, matrix: TokenMatrix, given: Sequence[Document] = ()
    ) -> Hits:
        def explain(hit: Hit, document: Document | None) -> Evidence:
            question = questions.Question(query, matrix)
            steps = evidence.explain(self.layout, lambda: self.encoder, question, hit, document)
            return run(steps, self.answer)

        return explicable(found, query, matrix, given, explain)

    def _windows(self) -> Steps[int]:
        """About how many windows are stored, as of the last minute."""
        size, asked = self._size
        if time.monotonic() - asked > SIZE_AGE:
            size = yield from reading.counted(self.layout, True, exact=False)
            self._size = (size, time.monotonic())
        return size


def default_candidates(windows: int) -> int:
    """Windows that are scored for a question, in a collection of so many.

    Measured at 5 000, 20 000 and 100 000 windows this many find .95 to .97 of the ten best, and nDCG@10 is that of
    all windows (benchmarks/results/qdrant.md). From a million windows on the number stays: each candidate is read from
    disk and scored (benchmarks/results/scale.md).
    """
    candidates: int = min(MOST_CANDIDATES, max(200, round(3 * windows**0.5)))
    return candidates
