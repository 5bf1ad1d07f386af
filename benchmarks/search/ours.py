"""This library: a collection that is opened from disk, searched on three levels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.search.data import DIM, Passages
from benchmarks.search.engine import Engine
from retrievers import Collection, Document
from retrievers.search import rank
from retrievers.types import Encoder


class Recorded(Encoder):
    """An encoder that looks its answers up: what is measured is the search, not the model.

    A passage stands under its number, which its text begins with; a question under its number alone.
    """

    def __init__(self, passages: Passages) -> None:
        self.dim = DIM
        self.document_length = 512
        self.fingerprint: Mapping[str, Any] = {"model": f"recorded/{passages.directory.name}", "dim": DIM}
        self.passages = passages
        self.tokens, self.offsets = passages.array("tokens"), np.asarray(passages.offsets)
        self.questions = passages.questions()

    def encode_documents(self, texts: Iterable[str]) -> Iterator[NDArray[np.float32]]:
        for text in texts:
            number = int(text.split(maxsplit=1)[0])
            [matrix] = self.passages.matrices(number, number + 1)
            yield matrix

    def encode_queries(self, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        return [self.questions[int(text)] for text in texts]


class Exact(Engine):
    """The exact scan over an open collection: retrievers.search.rank."""

    exact = True

    def build(self, passages: Passages, count: int, index: Path) -> None:
        self._connect(passages, index)
        self._add(passages, 0, count)

    def open(self, passages: Passages, count: int, index: Path) -> None:
        self._connect(passages, index)
        self.passages = passages
        self.questions = passages.questions()

    def search(self, question: int, k: int, **options: Any) -> Any:
        with self.collection.store.read() as view:
            return rank(view, [self.questions[question]], None, k, exact=self.exact, **options)[0]

    def search_all(self, questions: Sequence[int], k: int, **options: Any) -> list[Any]:
        with self.collection.store.read() as view:
            chosen = [self.questions[question] for question in questions]
            return rank(view, chosen, None, k, exact=self.exact, **options)

    def numbers(self, found: Any) -> list[int]:
        with self.collection.store.read() as view:
            keys = [int(view.documents[position]) for position, _ in found]
            documents = view.fetch(keys)
            return [int(str(documents[key].id)) for key in keys]

    def add(self, first: int, last: int) -> None:
        self._add(self.passages, first, last)

    def delete(self, first: int, last: int) -> None:
        self.collection.delete([str(n) for n in range(first, last)])

    def _connect(self, passages: Passages, index: Path) -> None:
        self.collection = Collection(index, Recorded(passages))

    def _add(self, passages: Passages, first: int, last: int) -> None:
        texts, _ = passages.texts()
        numbers = range(first, last)
        self.collection.add([Document(f"{n} {texts[n]}", str(n)) for n in numbers], show_progress=False)


class Pruned(Exact):
    """The pruned scan over an open collection that was optimised."""

    exact = False

    def build(self, passages: Passages, count: int, index: Path) -> None:
        super().build(passages, count, index)
        self.collection.optimize(show_progress=False)


class WholeSearch(Exact):
    """Collection.search, which also fetches texts and metadata of the hits."""

    def search(self, question: int, k: int, **options: Any) -> Any:
        return self.collection.search(str(question), k=k, exact=self.exact)

    def search_all(self, questions: Sequence[int], k: int, **options: Any) -> list[Any]:
        return self.collection.search_many([str(question) for question in questions], k=k, exact=self.exact)

    def numbers(self, found: Any) -> list[int]:
        return [int(hit.id) for hit in found]


class WholePruned(WholeSearch):
    exact = False

    def build(self, passages: Passages, count: int, index: Path) -> None:
        super().build(passages, count, index)
        self.collection.optimize(show_progress=False)
