"""Real text as token matrices of 128 dimensions, encoded once and kept in benchmarks/cache."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

CACHE = Path(__file__).resolve().parents[1] / "cache"
MODEL = "offline/minilm"
DIM = 128
QUESTIONS = 200
NOISE = 0.05
"""Standard deviation, a dimension, of the noise on copies of passages: cosine .87 to the original."""


@dataclass(frozen=True)
class Passages:
    """Passages and questions as token matrices, on disk.

    Attributes:
        directory: tokens.npy float16 (tokens, DIM), offsets.npy int64 (passages + 1,), kinds.npy uint32
            (tokens,), the same two for questions, texts.json.
        name: what the tables call it.
    """

    directory: Path
    name: str

    def array(self, name: str) -> NDArray:
        return np.load(self.directory / f"{name}.npy", mmap_mode="r")

    @property
    def offsets(self) -> NDArray[np.int64]:
        return self.array("offsets")

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def matrices(self, first: int = 0, last: int | None = None) -> Iterator[NDArray[np.float32]]:
        """Token matrix of each passage: float32, (tokens, DIM), rows of length 1."""
        tokens, offsets = self.array("tokens"), self.offsets
        for n in range(first, len(self) if last is None else last):
            yield unit(tokens[offsets[n] : offsets[n + 1]])

    def questions(self) -> list[NDArray[np.float32]]:
        """Token matrix of each question: float32, (query_tokens, DIM), rows of length 1."""
        tokens, offsets = self.array("question_tokens"), self.array("question_offsets")
        return [unit(tokens[a:b]) for a, b in pairwise(offsets)]

    def texts(self) -> tuple[list[str], list[str]]:
        """Text of each passage and of each question."""
        content = json.loads((self.directory / "texts.json").read_text())
        return content["passages"], content["questions"]


def unit(rows: NDArray) -> NDArray[np.float32]:
    """Rows as float32 of length 1: (n, DIM)."""
    rows = np.asarray(rows, np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True).clip(1e-12)


def read_beir(directory: Path, part: str) -> list[str]:
    """Texts of corpus or queries of a set in BEIR form, titles in front."""
    path = next(
        (p for p in (directory / f"{part}.jsonl.gz", directory / f"{part}.jsonl") if p.exists()), None
    )
    if path is None:
        raise FileNotFoundError(
            f"{directory} has no {part}.jsonl or {part}.jsonl.gz: give directories in BEIR form."
        )
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    records = [json.loads(line) for line in content.splitlines() if line.strip()]
    return [f"{record.get('title') or ''} {record['text']}".strip() for record in records]


def encoded(directories: Sequence[Path], cache: Path = CACHE, seed: int = 0) -> Passages:
    """All passages of the sets, and QUESTIONS questions, the same number of each set.

    The model's 384 dimensions are reduced to DIM by the principal directions (uncentred, so that dot
    products are kept best) of 200 000 tokens, and rows are brought back to length 1. Passages are cut
    at the model's document_length: a window a passage keeps the engines comparable.
    """
    names = [directory.name for directory in directories]
    label = blake2b(json.dumps([MODEL, DIM, QUESTIONS, seed, names]).encode(), digest_size=4).hexdigest()
    target = cache / f"encoded-{label}"
    if (target / "texts.json").exists():
        return Passages(target, "+".join(names))
    from retrievers import LateInteractionEncoder

    rng = np.random.default_rng(seed)
    encoder = LateInteractionEncoder(MODEL)
    passages, questions = [], []
    for directory in directories:
        passages += read_beir(directory, "corpus")
        asked = read_beir(directory, "queries")
        chosen = rng.choice(len(asked), min(len(asked), QUESTIONS // len(directories)), replace=False)
        questions += [asked[n] for n in chosen]
    passages = [_first_window(encoder, text) for text in passages if text]
    print(f"encoding {len(passages)} passages with {MODEL}, once", flush=True)
    matrices = [matrix.astype(np.float16) for matrix in encoder.encode_documents(passages)]
    asked = [matrix.astype(np.float16) for matrix in encoder.encode_queries(questions)]
    rows = np.concatenate(matrices)
    sample = rows[rng.choice(len(rows), min(200_000, len(rows)), replace=False)].astype(np.float32)
    directions = np.linalg.eigh(sample.T @ sample)[1][:, ::-1][:, :DIM]
    target.mkdir(parents=True, exist_ok=True)
    _save(target, "tokens", "offsets", [_reduced(matrix, directions) for matrix in matrices])
    _save(target, "question_tokens", "question_offsets", [_reduced(matrix, directions) for matrix in asked])
    np.save(target / "kinds.npy", _kinds(encoder, passages))
    (target / "texts.json").write_text(json.dumps({"passages": passages, "questions": questions}))
    return Passages(target, "+".join(names))


def sample(whole: Passages, count: int, *, spare: int = 0, cache: Path = CACHE, seed: int = 1) -> Passages:
    """A set of `count` passages, followed by `spare` more that are there to be added later.

    Passages are drawn without replacement; once the real ones run out, drawn again with noise on their
    vectors. Its question are those of `whole`.
    """
    target = cache / f"{whole.directory.name}-{count}-{spare}-{seed}"
    done = Passages(target, f"{count:,}".replace(",", " "))
    if (target / "texts.json").exists():
        return done
    target.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    order = np.concatenate([rng.permutation(len(whole)) for _ in range(-(-(count + spare) // len(whole)))])
    order = order[: count + spare]
    tokens, offsets, kinds = whole.array("tokens"), whole.offsets, whole.array("kinds")
    lengths = np.diff(offsets)[order]
    rows = np.lib.format.open_memmap(target / "tokens.npy", "w+", np.float16, (int(lengths.sum()), DIM))
    ids = np.empty(int(lengths.sum()), np.uint32)
    ends = np.cumsum(lengths)
    for place, n in enumerate(order):
        span = slice(ends[place] - lengths[place], ends[place])
        part = tokens[offsets[n] : offsets[n + 1]]
        if place >= len(whole):
            part = unit(part + rng.normal(0, NOISE, part.shape).astype(np.float32))
        rows[span] = part
        ids[span] = kinds[offsets[n] : offsets[n + 1]]
    rows.flush()
    np.save(target / "kinds.npy", ids)
    np.save(target / "offsets.npy", np.append(0, ends).astype(np.int64))
    for name in ("question_tokens", "question_offsets"):
        np.save(target / f"{name}.npy", whole.array(name))
    passages, questions = whole.texts()
    # The text of a noisy copy is a number and the text of its original, so that no two texts are equal.
    copies = [n // len(whole) for n in range(len(order))]
    chosen = [
        passages[n] if not copy else f"({copy}) {passages[n]}" for n, copy in zip(order, copies, strict=True)
    ]
    (target / "texts.json").write_text(json.dumps({"passages": chosen, "questions": questions}))
    return done


def true_scores(passages: Passages, count: int) -> NDArray[np.float32]:
    """Float32 MaxSim of every question and the first `count` passages: (questions, count)."""
    path = passages.directory / f"scores-{count}.npy"
    if path.exists():
        return np.load(path, mmap_mode="r")
    questions = passages.questions()
    offsets = np.asarray(passages.offsets[: count + 1])
    stacked = np.concatenate(questions).T  # (DIM, all query tokens)
    firsts = np.cumsum([0] + [len(question) for question in questions])[:-1]
    scores = np.empty((len(questions), count), np.float32)
    for begin in range(0, count, 200):
        end = min(begin + 200, count)
        rows = unit(passages.array("tokens")[offsets[begin] : offsets[end]])
        best = np.maximum.reduceat(rows @ stacked, offsets[begin:end] - offsets[begin], axis=0)
        scores[:, begin:end] = np.add.reduceat(best, firsts, axis=1).T
    np.save(path, scores)
    return scores


def recall(found: Sequence[int], scores: NDArray[np.float32], k: int = 10) -> float:
    """Share of the k best passages that were found; one that ties with the last of them counts too."""
    lowest = np.partition(scores, -k)[-k]
    return sum(scores[n] >= lowest - 1e-5 for n in found[:k]) / k


def _first_window(encoder, text: str) -> str:
    spans = encoder.split(text)
    return text[spans[0][0] : spans[0][1]] if spans else text


def _reduced(matrix: NDArray[np.float16], directions: NDArray) -> NDArray[np.float16]:
    return unit(matrix.astype(np.float32) @ directions).astype(np.float16)


def _save(target: Path, tokens: str, offsets: str, matrices: list[NDArray[np.float16]]) -> None:
    np.save(target / f"{tokens}.npy", np.concatenate(matrices))
    np.save(target / f"{offsets}.npy", np.cumsum([0] + [len(matrix) for matrix in matrices]).astype(np.int64))


def _kinds(encoder, passages: list[str]) -> NDArray[np.uint32]:
    """A number for each token's characters: an engine that clusters by vocabulary entry wants it."""
    seen: dict[str, int] = {}
    return np.array(
        [
            seen.setdefault(text[a:b].lower(), len(seen))
            for text in passages
            for a, b in encoder.document_tokens(text)
        ],
        np.uint32,
    )
