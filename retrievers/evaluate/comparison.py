"""Encoders, search modes and baselines are measured on the same documents and questions, in one table."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrievers.arguments import listed, shown
from retrievers.collection import Collection, incoming, validate
from retrievers.display.progress import Progress
from retrievers.encoder import LateInteractionEncoder
from retrievers.errors import InvalidInputError, InvalidTypeError
from retrievers.evaluate.baselines import BM25, Baseline, SingleVector, kept, single_vectors
from retrievers.evaluate.benchmarks import load
from retrievers.evaluate.metrics import DEPTH, Qrels, Row, Run, Table, measure
from retrievers.types import Document, Encoder, SearchableCollection

MODES = ("exact", "pruned")
BASELINES = ("BM25", "single vector")
QUERIES = 256  # asked at once: bounds the memory that scores and hits take


def compare(
    documents: Sequence[Document],
    queries: Mapping[str, str],
    qrels: Qrels,
    encoder: Encoder | Sequence[Encoder] | Mapping[str, Encoder],
    *,
    modes: Sequence[str] = ("exact",),
    baselines: Sequence[str] = BASELINES,
    language: str = "en",
    cache: str | Path | None = None,
    show_progress: bool | None = False,
) -> Table:
    """Measure late interaction beside BM25 and the single vector of the same model.

    Every system searches the same windows, those of the (first) encoder for BM25, and a document scores as
    its best window does.

    Args:
        documents: with ids.
        queries: query id to question.
        qrels: query id to document id to gain; only its queries are asked.
        encoder: one, or several to compare; a mapping names them, else they are called as their models.
        modes: of search: "exact" scores every window, "pruned" optimises the collection and lets it skip.
        baselines: any of BASELINES, or none.
        language: of the documents, as ISO 639-1 writes it: BM25 stems their words.
        cache: a directory that keeps what was encoded, for the next call; None keeps nothing.
        show_progress: a progress bar; None shows it in a notebook, and where standard error is a terminal.
    Returns:
        One row for each system, named "late interaction" (or, of several encoders or modes, with model and mode in
        brackets), "BM25", "single vector".
    Raises:
        InvalidInputError: an unknown mode or baseline, a document without an id, a judged query without text,
            no encoder, two of the same name, or a cache that holds other documents.
        MissingExtraError: the extra `eval` is not installed.
    """
    encoders = _named(encoder)
    documents = incoming.loose(documents)
    modes, baselines = listed(modes, "modes", "mode"), listed(baselines, "baselines", "baseline")
    cache = validate.directory(cache)
    _check(documents, queries, qrels, modes, baselines)
    asked = {query: queries[query] for query in qrels}
    windows = {title: windows_of(documents, one) for title, one in encoders.items()}
    several = len(encoders) > 1
    rows = []
    for title, one in encoders.items():
        with Collection(_place(cache, one), one) as collection:
            collection.add(documents, show_progress=show_progress)
            if len(collection) > len(documents):
                raise InvalidInputError(
                    f"{cache} has more documents than these: give each benchmark its own cache."
                )
            for mode in modes:
                if mode == "pruned":
                    collection.optimize(show_progress=show_progress)
                told = [title] * several + [mode] * (len(modes) > 1)
                name = _name("late interaction", told)
                exact = mode == "exact"
                row = evaluate(collection, asked, qrels, exact=exact, name=name, show_progress=show_progress)
                rows.append(row)
    texts, owners = next(iter(windows.values()))
    if "BM25" in baselines:
        rows.append(_baseline(BM25(texts, language=language), owners, documents, asked, qrels))
    if "single vector" in baselines:
        for title, one in encoders.items():
            kind, embed = single_vectors(one)
            if cache is not None:
                embed = kept(embed, Path(cache) / _folder(one))
            parts, places = windows[title]
            system = SingleVector(parts, embed, _name(kind, [title] * several))
            rows.append(_baseline(system, places, documents, asked, qrels))
    return Table(tuple(rows), len(documents), len(asked), len(texts))


def evaluate(
    collection: SearchableCollection,
    queries: Mapping[str, str],
    qrels: Qrels,
    *,
    exact: bool = False,
    name: str = "late interaction",
    show_progress: bool | None = False,
) -> Row:
    """Measure a collection by its own search.

    Args:
        collection: holds the documents that qrels names.
        queries: query id to question.
        qrels: query id to document id to gain; only its queries are asked.
        exact: score every window even where the collection is optimised; for collections whose search has that
            option.
        name: how the row is called.
        show_progress: see compare.
    Returns:
        The row of a table.
    Raises:
        InvalidInputError: no query has a relevant document.
        MissingExtraError: the extra `eval` is not installed.
    """
    asked = [query for query in qrels if query in queries]
    options: dict[str, Any] = {"exact": True} if exact else {}
    run: dict[str, list[str]] = {}
    with Progress(len(asked), "Asking", "questions", show_progress) as progress:
        for first in range(0, len(asked), QUERIES):
            part = asked[first : first + QUERIES]
            found = collection.search_many([queries[query] for query in part], k=DEPTH, **options)
            for query, hits in zip(part, found, strict=True):
                run[query] = [str(hit.id) for hit in hits]
            progress.advance(len(part))
    return Row(name, measure(qrels, run))


def main(
    corpus: str | Path,
    *,
    queries: str | Path | None = None,
    qrels: str | Path | None = None,
    models: Iterable[str | Encoder] = ("offline/minilm",),
    modes: Sequence[str] = ("exact",),
    baselines: Sequence[str] = BASELINES,
    language: str | None = None,
    query_language: str | None = None,
    cache: str | Path | None = None,
    show_progress: bool | None = None,
) -> Table:
    """`retrievers eval`: compare on a directory in BEIR's form.

    Args:
        corpus: the directory or its corpus file, see load.
        queries, qrels, language, query_language: see load.
        models: names that LateInteractionEncoder takes, or encoders. An iterator is asked for them after the directory
            was read.
        modes, baselines, cache, show_progress: see compare.
    Returns:
        The table; `.markdown()` writes it.
    Raises:
        InvalidInputError: see load and compare.
        ModelNotFoundError: a model cannot be had.
        MissingExtraError: the extra `eval` is not installed.
    """
    benchmark = load(corpus, queries=queries, qrels=qrels, language=language, query_language=query_language)
    encoders = [LateInteractionEncoder(one) if isinstance(one, str) else one for one in models]
    return compare(
        benchmark.documents,
        benchmark.queries,
        benchmark.qrels,
        encoders,
        modes=modes,
        baselines=baselines,
        language=language or "en",
        cache=cache,
        show_progress=show_progress,
    )


def rank_documents(
    scores: Iterable[NDArray[np.float32]], owners: NDArray[np.int64], documents: Sequence[Document]
) -> list[list[str]]:
    """Documents by their best window.

    Args:
        scores: float32, (windows,), one array a query.
        owners: int64, (windows,): place of each window's document, ascending.
        documents: with ids.
    Returns:
        A query's ids, best first, ties in the order of the documents, at most DEPTH; never one of -inf.
    """
    places, firsts = np.unique(owners, return_index=True)
    ranked = []
    for found in scores:
        best = np.maximum.reduceat(found, firsts) if len(firsts) else found  # (documents with windows,)
        order = np.argsort(-best, kind="stable")[:DEPTH]
        ranked.append([str(documents[places[one]].id) for one in order if np.isfinite(best[one])])
    return ranked


def _baseline(
    system: Baseline,
    owners: NDArray[np.int64],
    documents: Sequence[Document],
    queries: Mapping[str, str],
    qrels: Qrels,
) -> Row:
    ranked = rank_documents(system.scores(list(queries.values())), owners, documents)
    run: Run = dict(zip(queries, ranked, strict=True))
    return Row(system.name, measure(qrels, run))


def windows_of(documents: Sequence[Document], encoder: Encoder) -> tuple[list[str], NDArray[np.int64]]:
    """The windows that a collection would make, and the place of each one's document."""
    texts, owners = [], []
    for place, document in enumerate(documents):
        whole = document.context + document.text
        for start, end in encoder.split(whole):
            texts.append(whole[start:end])
            owners.append(place)
    return texts, np.array(owners, np.int64)


def _check(
    documents: Sequence[Document],
    queries: Mapping[str, str],
    qrels: Qrels,
    modes: Sequence[str],
    baselines: Sequence[str],
) -> None:
    for kind, given, known in (("mode", modes, MODES), ("baseline", baselines, BASELINES)):
        for name in given:
            if name not in known:
                raise InvalidInputError(f"unknown {kind} {name!r}: it is one of {', '.join(known)}.")
    for place, document in enumerate(documents):
        if document.id is None:
            raise InvalidInputError(f"document {place} has no id: judgements need one to name it by.")
    for title, mapping in (("queries", queries), ("qrels", qrels)):
        if not isinstance(mapping, Mapping):
            raise InvalidTypeError(f"{title} is {shown(mapping)}: a dict from query ids is needed.")
    for query, gains in qrels.items():
        if not isinstance(gains, Mapping):
            raise InvalidTypeError(
                f"the judgements of query {shown(query)} are {shown(gains)}: a dict from document ids to gains is "
                "needed."
            )
    unknown = [query for query in qrels if query not in queries]
    if unknown:
        raise InvalidInputError(f"{len(unknown)} judged queries have no text, {unknown[0]!r} for one.")


def _named(encoder: Encoder | Sequence[Encoder] | Mapping[str, Encoder]) -> dict[str, Encoder]:
    if isinstance(encoder, Mapping):
        encoders = {name: validate.encoder(one) for name, one in encoder.items()}
    else:
        given: list[object] = list(encoder) if isinstance(encoder, (list, tuple)) else [encoder]
        several = [validate.encoder(one) for one in given]
        encoders = {str(one.fingerprint["model"]): one for one in several}
        if len(encoders) < len(several):
            raise InvalidInputError(
                "two encoders have the same model: give a mapping from names to encoders."
            )
    if not encoders:
        raise InvalidInputError("no encoder to compare: give at least one.")
    return encoders


def _name(system: str, told: Sequence[str]) -> str:
    return f"{system} ({', '.join(told)})" if told else system


def _folder(encoder: Encoder) -> str:
    """A name for files that belong to this encoder and to no other."""
    model = re.sub(r"[^\w.-]+", "-", str(encoder.fingerprint["model"]))
    settings = json.dumps(dict(encoder.fingerprint), sort_keys=True).encode()
    return f"{model}-{blake2b(settings, digest_size=6).hexdigest()}"


def _place(cache: str | Path | None, encoder: Encoder) -> Path | None:
    return None if cache is None else Path(cache) / _folder(encoder) / "collection"
