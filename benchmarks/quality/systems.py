"""Every system over one benchmark: settings, blends, fusions and baselines, from scores of every document."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.quality import frameworks
from benchmarks.quality.encodings import encode, windows
from benchmarks.quality.frameworks import Ranked
from benchmarks.quality.scoring import Scores, pooled, scored
from retrievers import Collection, LateInteractionEncoder
from retrievers.evaluate import Benchmark, Setting
from retrievers.evaluate.baselines import BM25
from retrievers.evaluate.metrics import DEPTH, ndcg
from retrievers.evaluate.settings import blended
from retrievers.search.fusion import Shares
from retrievers.store import Store
from retrievers.testing import HashingEncoder
from retrievers.types import EncodedText

PLAIN = Setting()
MEANS = (0.0, 0.25, 0.35)
WORDS = (0.1, 0.25)
TOKENIZERS = {"en": "porter", "zh": "trigram"}  # of the index of words, where it is not unicode61
SINGLE = (0.25, 0.5)  # shares of the single vector that are blended
POOLED = (0.25, 0.5)  # and of the mean of the stored rows


@dataclass(frozen=True)
class Scored:
    """A benchmark with the score of every question and document.

    Attributes:
        benchmark: what was asked.
        texts: of the windows.
        owners: int64, (windows,): place of each window's document.
        maxsim: of each setting without words.
        single: cosines of the single vectors.
        bm25: by the index of words of a collection (FTS5), for English by stems.
        language: of the documents, for the BM25 that stands beside.
        pooled: the pooled similarity with the default's rows; None where nobody measures it.
    """

    benchmark: Benchmark
    texts: Sequence[str]
    owners: NDArray[np.int64]
    maxsim: dict[Setting, Scores]
    single: Scores
    bm25: Scores
    language: str
    pooled: Scores | None = None

    def ranked(self, scores: NDArray[np.float64] | NDArray[np.float32]) -> Ranked:
        """The best documents of each question; ties in the order of the documents."""
        documents = self.benchmark.documents
        found = []
        for row in scores:
            order = np.argsort(-row, kind="stable")[:DEPTH]
            found.append(
                [(str(documents[one].id), float(row[one])) for one in order if np.isfinite(row[one])]
            )
        return found

    def blend(self, scores: Scores, others: Scores, weight: float) -> NDArray[np.float64]:
        """Two scores as a search with words adds them."""
        pairs = zip(scores, others, strict=True)
        shares = Shares(words=weight)
        return np.stack([blended(one, shares, other.astype(np.float64)) for one, other in pairs])

    def blend_pooled(self, scores: Scores, share: float) -> NDArray[np.float64]:
        """MaxSim and the pooled similarity as a search with `pooled` adds them."""
        assert self.pooled is not None
        pairs = zip(scores, self.pooled.astype(np.float64), strict=True)
        return np.stack(
            [blended(one, Shares(pooled=share), pooled=other.__getitem__) for one, other in pairs]
        )


def score(
    benchmark: Benchmark,
    encoder: LateInteractionEncoder,
    kept: Path,
    *,
    questions: Path | None = None,
    language: str = "en",
    means: Sequence[float] = MEANS,
    by_words: bool = True,
    default: Setting | None = None,
) -> Scored:
    """Encode a benchmark, or read what was kept of it, and score every question and document.

    Args:
        benchmark: with ids.
        encoder: an offline model, without mean_weight.
        kept: a directory that belongs to this model and benchmark.
        questions: where rows of the questions are kept, None for beside the documents.
        language: of the documents.
        means: each mean_weight to measure, 0 among them.
        by_words: whether words are indexed; without it every document has 0.
        default: the setting whose rows give the pooled similarity; None for no pooled similarity.
    """
    spans, texts, owners = windows(benchmark, encoder, kept)
    asked = list(benchmark.queries.values())
    rows = encode(asked, "query", encoder, questions or kept)
    encoded = encode(texts, "document", encoder, kept)
    questions = questions or kept
    # Scores belong to both: questions of another language have a folder beside, those of a part one inside.
    place = questions if questions == kept or kept in questions.parents else kept / questions.name
    maxsim = {
        Setting(mean, weights): found
        for mean in means
        for weights, found in scored(rows, encoded, owners, mean, place).items()
    }
    firsts = np.unique(owners, return_index=True)[1]
    single = np.maximum.reduceat(rows.singles @ encoded.singles.T, firsts, axis=1)
    words = _by_words(benchmark, spans, place, language) if by_words else np.zeros_like(single)
    whole = None
    if default is not None:
        whole = pooled(rows, encoded, owners, default.mean_weight, default.query_weights, place)
    return Scored(benchmark, texts, owners, maxsim, single, words, language, whole)


def measured(scored: Scored, default: Setting) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Each system's name, and nDCG@10 of each question, float64, (questions,); plain MaxSim first."""
    asked = list(scored.benchmark.queries.values())
    values = partial(_values, scored)
    tried = {setting: values(scored.ranked(scores)) for setting, scores in scored.maxsim.items()}
    for setting, found in tried.items():
        yield (f"{setting} (default)" if setting == default != PLAIN else str(setting)), found
    best = scored.maxsim[default]
    for words in WORDS:
        for setting in dict.fromkeys((PLAIN, default)):
            blend = scored.blend(scored.maxsim[setting], scored.bm25, words)
            tried[replace(setting, words=words)] = values(scored.ranked(blend))
        yield f"default, words={words:g}", tried[replace(default, words=words)]
    yield _tuned(tried)
    yield "single vector", values(scored.ranked(scored.single))
    for share in SINGLE:
        both = scored.ranked(scored.blend(best, scored.single, share))
        yield f"default, {share:g} of the single vector of the same pass", values(both)
    for share in POOLED if scored.pooled is not None else ():
        yield f"default, pooled={share:g}", values(scored.ranked(scored.blend_pooled(best, share)))
    ours, theirs = scored.ranked(best), scored.ranked(_by_stems(scored))
    yield "BM25", values(theirs)
    yield "default and BM25, reciprocal rank fusion", values(_reciprocal(ours, theirs))
    owners = [str(scored.benchmark.documents[one].id) for one in scored.owners]
    yield (
        "default and its BM25Retriever in LangChain's EnsembleRetriever",
        values(frameworks.langchain_ensemble(scored.texts, owners, asked, ours)),
    )
    for mode in ("reciprocal_rerank", "relative_score"):
        yield (
            f"default and its BM25Retriever in LlamaIndex's QueryFusionRetriever, {mode}",
            values(frameworks.llama_index_fusion(scored.texts, owners, asked, ours, mode)),
        )


def crossed(scored: Scored, settings: Sequence[Setting]) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Settings, the single vector and BM25 across languages: names, and nDCG@10 of each question."""
    for setting in settings:
        yield str(setting), _values(scored, scored.ranked(scored.maxsim[setting]))
    yield "single vector", _values(scored, scored.ranked(scored.single))
    yield "BM25", _values(scored, scored.ranked(_by_stems(scored)))


def _values(scored: Scored, ranked: Ranked) -> NDArray[np.float64]:
    """nDCG@10 of each question, float64, (questions,)."""
    run = dict(zip(scored.benchmark.queries, ([one for one, _ in some] for some in ranked), strict=True))
    found = ndcg(scored.benchmark.qrels, run)
    return np.array([found[query] for query in scored.benchmark.queries])


def _by_stems(scored: Scored) -> Scores:
    """BM25 by bm25s, -inf where no stem matches."""
    firsts = np.unique(scored.owners, return_index=True)[1]
    asked = list(scored.benchmark.queries.values())
    found = BM25(scored.texts, language=scored.language).scores(asked)
    return np.stack([np.maximum.reduceat(scores, firsts) for scores in found])


def _tuned(tried: dict[Setting, NDArray[np.float64]]) -> tuple[str, NDArray[np.float64]]:
    """Each half of the questions by the setting that is best on the other half."""
    settings = list(tried)
    values = np.stack([tried[one] for one in settings])  # (settings, questions)
    half = np.random.default_rng(0).permutation(values.shape[1]) % 2 == 0
    found, chosen = np.empty(values.shape[1], np.float64), []
    for inside in (half, ~half):
        best = int(np.argmax(values[:, ~inside].mean(axis=1)))
        found[inside] = values[best, inside]
        chosen.append(str(settings[best]))
    return f"tuned on the other half of the questions: {'; '.join(dict.fromkeys(chosen))}", found


def _reciprocal(*rankings: Ranked) -> Ranked:
    """Reciprocal rank fusion, equal weights, k = 60 (Cormack, Clarke and Büttcher, SIGIR 2009)."""
    fused = []
    for several in zip(*rankings, strict=True):
        scores: dict[str, float] = {}
        for ranking in several:
            for place, (name, _) in enumerate(ranking, start=1):
                scores[name] = scores.get(name, 0.0) + 1 / (60 + place)
        fused.append(sorted(scores.items(), key=lambda one: -one[1])[:DEPTH])
    return fused


def _by_words(
    benchmark: Benchmark, spans: Sequence[Sequence[tuple[int, int]]], kept: Path, language: str
) -> Scores:
    """BM25 of each question and document by the index of words that a collection has, 0 where no word matches."""
    path = kept / "words.npy"
    if not path.is_file():
        unit = np.eye(1, 8, dtype=np.float32)  # rows are not looked at
        with Collection(
            None, HashingEncoder(dim=8), words=TOKENIZERS.get(language, "unicode61")
        ) as collection:
            matrices = [EncodedText(list(some), [unit] * len(some)) for some in spans]
            collection.add(list(benchmark.documents), matrices=matrices, show_progress=False)
            store: Store = collection.store
            with store.read() as view:
                names = {key: str(one.id) for key, one in view.fetch(view.documents).items()}
                places = {str(one.id): place for place, one in enumerate(benchmark.documents)}
                owners = np.array([places[names[int(key)]] for key in view.documents])
                found = np.zeros((len(benchmark.queries), len(benchmark.documents)), np.float32)
                for row, question in zip(found, benchmark.queries.values(), strict=True):
                    positions, scores = view.word_scores(question)
                    np.maximum.at(row, owners[positions], scores)
        unfinished = path.with_suffix(".part")
        with unfinished.open("wb") as file:
            np.save(file, found)
        unfinished.rename(path)
    words: Scores = np.load(path, allow_pickle=False)
    return words
