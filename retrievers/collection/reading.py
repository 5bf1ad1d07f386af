"""What a collection answers: stored documents, searches, reranking and evidence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from retrievers.collection import (
    evidence,
    getting,
    incoming,
    matrices,
    questions,
    reranking,
    searching,
    stages,
    validate,
    weighing,
)
from retrievers.collection.hits import explicable, with_parts
from retrievers.collection.searching import condition_of
from retrievers.collection.together import together
from retrievers.errors import InvalidInputError
from retrievers.store import Store, View
from retrievers.types import Document, DocumentFilter, Encoder, Evidence, Hit, Hits, Query, Texts, TokenMatrix


class Reader:
    """The reading half of a collection.

    Attributes:
        store: the documents and their token rows.
    """

    store: Store
    _encoder: Encoder | None
    _device: str | None
    _device_memory: int | None

    @property
    def encoder(self) -> Encoder:
        """The model."""
        raise NotImplementedError

    def get(
        self,
        ids: Iterable[str] | None = None,
        *,
        filter: DocumentFilter | None = None,
        limit: int | None = None,
        after: str | None = None,
    ) -> list[Document]:
        """Stored documents: those of the ids that are there, in that order, or those that match the filter.

        Args:
            ids: the documents to look up; the other arguments are for whoever does not know them.
            filter: as for search; None means all.
            limit: the most documents to return, in the order in which they were first added: a page.
            after: id of the last document of the page before.
        Raises:
            InvalidInputError: ids beside another argument, or there is no document of the id `after`.
        """
        return getting.documents(self.store, ids, filter, limit, after)

    def get_sources(self, sources: Iterable[str]) -> list[Document]:
        """Stored documents that were cut from any of some sources, in the order in which they were first added.

        Args:
            sources: see Document.source; a document that has none is its own, by its id.
        """
        return self.store.get_sources(validate.identifiers(sources))

    def search(
        self,
        query: Query,
        *,
        k: int = 10,
        filter: DocumentFilter | None = None,
        ids: Iterable[str] | None = None,
        score_threshold: float | None = None,
        words: float | None = None,
        pooled: float | None = None,
        passages: int | None = None,
        group_by: str | None = None,
        group_size: int = 1,
        exact: bool = False,
        candidates: int | None = None,
    ) -> Hits:
        """The best documents for a question.

        Args:
            query: the question, which without tokens finds nothing; or its rows, where they were computed elsewhere:
                an array of floats, (query_tokens, dim).
            k: the most hits to return.
            filter: a dict in the language of retrievers.filters, or a function of a Document; evaluated
                before scoring, so that k is honoured.
            ids: search among these documents alone, those of them that the filter keeps; an unknown id is no
                error, and an empty list finds nothing. The documents are looked up by id, so that a few among
                very many cost little.
            score_threshold: keep hits whose normalized_score, which is MaxSim's, is at least this.
            words: the share of BM25 in the score, from 0 to 1; MaxSim has the rest, each scaled to [0, 1] for the
                question (Hit.parts). 1 asks for words alone. None means the collection's own share, or else 0.
            pooled: the share of the pooled similarity, from 0 to 1: the cosine of the mean of the question's rows and
                the mean of the best window's, scaled like words, and added to them. Both shares are at most 1
                together. It finds nothing that MaxSim and words do not find; None means 0.
            passages: give each hit its best windows as Hit.passages, so many at most, with their scores.
            group_by: a metadata key: no more than group_size hits have the same value of it. A document without the
                key is a group of its own; "source" also means Document.source.
            group_size: the most hits of a group.
            exact: score every window even where an optimised collection would prune.
            candidates: windows that a pruned search scores exactly, more for more recall; None lets each query
                take as many as may be among its best. It changes nothing where every window is scored.
        Returns:
            Best first; equal scores in the order in which the documents were first added. A list that also has
            the question and its rows.
        Raises:
            InvalidInputError, InvalidTypeError: k, query, threshold or another option cannot be used.
            NoWordsError: words, and the collection has no index of them.
            ShapeError: a matrix is not (query_tokens, dim).
            FilterError: an unknown operator, or a value of the wrong type.
        """
        [found] = self.search_many(
            [query],
            k=k,
            filter=filter,
            ids=ids,
            score_threshold=score_threshold,
            words=words,
            pooled=pooled,
            passages=passages,
            group_by=group_by,
            group_size=group_size,
            exact=exact,
            candidates=candidates,
        )
        return found

    def search_many(
        self,
        queries: Iterable[Query],
        *,
        k: int = 10,
        filter: DocumentFilter | None = None,
        ids: Iterable[str] | None = None,
        score_threshold: float | None = None,
        words: float | None = None,
        pooled: float | None = None,
        passages: int | None = None,
        group_by: str | None = None,
        group_size: int = 1,
        exact: bool = False,
        candidates: int | None = None,
    ) -> list[Hits]:
        """search for several questions at once, which reads the token rows once for all of them."""
        wanted = searching.checked(k, score_threshold, words, pooled, passages, group_by, group_size)
        engine: dict[str, Any] = {
            "candidates": None if candidates is None else validate.count(candidates, "candidates"),
            "exact": validate.flag(exact, "exact"),
            "device": self._device,
            "memory_limit": self._device_memory,
        }
        condition = condition_of(filter)
        among = None if ids is None else tuple(validate.identifiers(ids))
        given = questions.all_checked(queries, self.store.dim)
        options = searching.with_texts(wanted, given)
        encoding = stages.begin()
        empty = self._encoder is None and not len(self.store)
        rows = self._encoded(questions.without_texts(given) if empty else given)
        asked = list(zip(given, rows, strict=True))
        encoding.end("encoding")

        def scan(some: Sequence[tuple[questions.Question, TokenMatrix]]) -> list[searching.Found]:
            return searching.scan(self.store, self._weighted, condition, among, some, options, **engine)

        # A filter's repr tells 1 from 1.0 and True, which are equal.
        key = (self.store, options, repr(condition), among, *engine.items())
        # A function of the user's own may search as well: nobody is to wait for it.
        answers = scan(asked) if callable(condition) else together(key, asked, scan)
        for _, _, spent, count in answers:
            stages.log(encoding, spent, count)
        pairs = zip(given, answers, strict=True)
        return [self._hits(hits, question.text, rows) for question, (hits, rows, _, _) in pairs]

    def rerank(
        self,
        query: Query,
        documents: Texts | None = None,
        *,
        ids: Iterable[str] | None = None,
        top_n: int | None = None,
        score_threshold: float | None = None,
    ) -> Hits:
        """Order given documents by their score for a question, best first.

        A text that the collection holds, under the same id, another or none, is scored from its stored rows; another
        text is encoded, and not stored.

        Args:
            query: the question, or its rows; without tokens it scores nothing, and the order stays.
            documents: texts or Documents, with or without ids; equal ids are no error.
            ids: stored documents, in place of documents.
            top_n: the most hits to return; None returns all.
            score_threshold: keep hits whose normalized_score is at least this.
        Returns:
            Hits whose position is the place among the given documents; ties keep the given order.
        Raises:
            InvalidInputError: neither documents nor ids or both, or an id that is not stored.
        """
        if (documents is None) == (ids is None):
            raise InvalidInputError("rerank needs documents or ids, one of the two.")
        top_n = None if top_n is None else validate.count(top_n, "top_n")
        lowest = validate.threshold(score_threshold)
        question = questions.checked(query, self.store.dim)
        given = (
            incoming.loose(documents) if documents is not None else self._stored([] if ids is None else ids)
        )
        asked = self._encoded([question])
        with self.store.read() as view:
            [matrix] = self._weighted(view, [question], asked)
        ranked = sorted(reranking.score(self.store, self.encoder, matrix, given), key=lambda hit: -hit.score)
        kept = [hit for hit in ranked if hit.normalized_score >= lowest][:top_n]
        return self._hits(kept, question.text, matrix, given)

    def matrices(self, found: Sequence[Hit]) -> list[TokenMatrix]:
        """Stored token matrix of each hit's passage, in their order: float32, (tokens, dim).

        A matrix has no rows where a hit has no passage, or where its document was replaced or deleted since.
        """
        given = validate.found(found)
        with self.store.read() as view:
            return matrices.of_hits(view, given)

    def explain(self, query: Query, hit: Hit | str) -> Evidence:
        """Which characters of a document each query token matched, in the document's best window.

        The question is encoded, and nothing else: the similarities are those of the stored rows. With token pooling
        the window is encoded again, and the evidence says that it is approximate.

        Args:
            query: the question; or its rows, whose tokens have numbers in place of labels.
            hit: a hit of this collection, or a stored document's id.
        Raises:
            InvalidInputError: the document is not stored, or not with that text any more.
        """
        question = questions.checked(query, self.store.dim)
        found = hit if isinstance(hit, str) else validate.hit(hit)
        asked = self._encoded([question])
        with self.store.read() as view:
            [matrix] = self._weighted(view, [question], asked)
        return with_parts(self._evidence(question.text, matrix, found), found)

    def _hits(
        self, found: Iterable[Hit], query: str, matrix: TokenMatrix, given: Sequence[Document] = ()
    ) -> Hits:
        return explicable(
            found, query, matrix, given, lambda hit, document: self._evidence(query, matrix, hit, document)
        )

    def _evidence(
        self, query: str, matrix: TokenMatrix, hit: Hit | str, given: Document | None = None
    ) -> Evidence:
        """explain for a question that is encoded: all that is stored comes from one snapshot.

        Args:
            given: the document of a hit that was reranked, where it is known: it may have a context.
        """
        if given is None and isinstance(hit, Hit) and (hit.id is None or hit.position is not None):
            given = Document(hit.text, hit.id)
        key = hit if isinstance(hit, str) else hit.id
        with self.store.read() as view:
            stored = None if key is None else next(iter(view.get(validate.identifiers([key]))), None)
            if isinstance(hit, Hit) and given is not None:
                given = reranking.with_context(given, stored)
                if stored is None or not reranking.is_same(given, stored):
                    return evidence.of_loose(self.encoder, query, matrix, hit, given, view.bits)
            if stored is None:
                raise self._absent([str(key)])
            if isinstance(hit, Hit) and hit.text != stored.text:
                raise InvalidInputError(
                    f"document {key!r} has another text by now: search again, then explain."
                )
            passage = hit.passage if isinstance(hit, Hit) else None
            found = matrices.best_window(view, stored, matrix, passage)
        if found is None:
            return Evidence(query, stored.text, None, (), 0.0)
        best, span, rows = found
        return evidence.explain(self.encoder, query, matrix, stored, best, span, rows)

    def _encoded(self, asked: Sequence[questions.Question]) -> list[TokenMatrix]:
        return questions.encoded(lambda: self.encoder, asked, self.store.dim)

    def _weighted(
        self, view: View, given: Sequence[questions.Question], matrices: Sequence[TokenMatrix]
    ) -> list[TokenMatrix]:
        """Rows of questions with the weights that the collection gives them; rows that came as such keep theirs."""
        texts = [one.text if one.rows is None else "" for one in given]
        blank = not any(
            text.strip() and len(one) for text, one in zip(texts, matrices, strict=True)
        )  # no model
        return list(matrices) if blank else weighing.weighted(view, self.encoder, texts, matrices)

    def _stored(self, ids: Iterable[str]) -> list[Document]:
        keys = validate.identifiers(ids)
        found = {document.id: document for document in self.store.get(keys)}
        if absent := [key for key in keys if key not in found]:
            raise self._absent(absent)
        return [found[key] for key in keys]

    def _absent(self, ids: Sequence[str]) -> InvalidInputError:
        return InvalidInputError(
            f"{validate.shown(ids)} is not in this collection of {len(self.store)} documents."
        )
