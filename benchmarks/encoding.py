"""How fast texts become token matrices, beside sentence-transformers' own encode_document, and as good?

    python -m benchmarks.encoding speed --data ../shared/data            # MiniLM
    python -m benchmarks.encoding speed --data ../shared/data --lfm2     # random weights, LFM2-ColBERT-350M's size
    python -m benchmarks.encoding speed --data ../shared/data --backend openvino     # beside torch
    python -m benchmarks.encoding quality --data ../shared/data
    python -m benchmarks.encoding memory --data ../shared/data
    python -m benchmarks.encoding short --data ../shared/data            # memory while short texts are added

Each row is the median of interleaved repeats in one run. The share of the peak is multiplications that the
model needs / seconds, over the best rate of a matrix product of the same number format in the same run.
"""

from __future__ import annotations

import argparse
import gzip
import json
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from sentence_transformers import MultiVectorEncoder

from benchmarks.checkpoints import lfm2_sized
from retrievers import Collection, Document
from retrievers.encoder import LateInteractionEncoder
from retrievers.encoder.offline.registry import OFFLINE
from retrievers.encoder.onednn import pack


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["speed", "quality", "memory", "short"])
    parser.add_argument("--data", type=Path, required=True, help="directory with xquad, squad-sent and qmsum")
    parser.add_argument("--lfm2", action="store_true", help="354M random parameters in place of MiniLM")
    parser.add_argument("--device", default=None)
    parser.add_argument("--backend", help="of sentence-transformers, to be measured beside torch")
    parser.add_argument("--texts", type=int, default=0, help="of each kind; 0 chooses by model")
    parser.add_argument("--only", help="title of the one set of texts to measure")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        model = "offline/minilm"
        if arguments.lfm2:
            model = str(lfm2_sized(Path(directory) / "lfm2-size"))
        elif arguments.backend:  # which takes a checkpoint
            saved = Path(directory) / "minilm"
            LateInteractionEncoder(model, precision="float32").model.save_pretrained(str(saved))
            model = str(saved)
        works = {"speed": speed, "quality": quality, "memory": memory, "short": short}
        works[arguments.what](arguments, model)


def speed(arguments: argparse.Namespace, model: str) -> None:
    encoders = {
        name: LateInteractionEncoder(model, precision=name, device=arguments.device)
        for name in ("float32", "bfloat16")
    }
    reference = encoders["float32"]
    device = reference.model.device
    default = library(model, device)
    if arguments.backend:
        encoders[arguments.backend] = LateInteractionEncoder(model, backend=arguments.backend)
    count = arguments.texts or (12 if arguments.lfm2 and device.type == "cpu" else 240)
    passages = read(arguments.data / "xquad" / "corpus.en.jsonl.gz")[:count]
    sentences = read(arguments.data / "squad-sent" / "corpus.jsonl.gz")[: 2 * count]
    transcripts = read(arguments.data / "qmsum" / "corpus.jsonl.gz")[: max(count // 40, 1)]
    sets = {
        "passages": cut(reference, passages),
        "passages and sentences": cut(reference, passages + sentences),
        "passages and transcripts": cut(reference, passages + transcripts),
    }
    if arguments.only:
        sets = {arguments.only: sets[arguments.only]}
    print(f"{device}, {torch.get_num_threads()} threads, {parameters(reference) / 1e6:.0f}M parameters")
    peaks = {}
    for name in ("float32", "bfloat16"):
        plain, packed = product_peaks(getattr(torch, name), device)
        peaks[name] = max(plain, packed)
        print(f"peak of a {name} product: torch's own {plain / 1e9:.0f}, packed {packed / 1e9:.0f} GFLOP/s")
    print("| texts | encoder | texts/s | tokens/s | × default | share of peak |")
    print("|---|---|---|---|---|---|")
    for title, texts in sets.items():
        lengths = reference._preprocess.count(texts)
        rows: dict[str, Callable[[], object]] = {
            "sentence-transformers' encode_document": lambda t=texts: default.encode_document(t)
        }
        for name, encoder in encoders.items():
            rows[f"{name}, {encoder.token_budget} tokens"] = lambda t=texts, e=encoder: list(
                e.encode_documents(t)
            )
        seconds = interleaved(rows, arguments.repeats, device)
        first = next(iter(seconds.values()))
        work = sum(flops(reference, length) for length in lengths)
        for name, taken in seconds.items():
            peak = peaks["bfloat16" if name.startswith("bfloat16") else "float32"]
            print(
                f"| {title} | {name} | {len(texts) / taken:.1f} | {sum(lengths) / taken:.0f} "
                f"| {first / taken:.2f} | {work / taken / peak:.0%} |"
            )
    question = "which team had the best defense in the league that season and who led it"
    rows = {name: lambda e=encoder: e.encode_queries([question]) for name, encoder in encoders.items()}
    for name, taken in interleaved(rows, 4 * arguments.repeats, device).items():
        print(f"one question, {name}: {1000 * taken:.1f} ms")


def quality(arguments: argparse.Namespace, model: str) -> None:
    """nDCG@10 of the same model through sentence-transformers and through each number format."""
    encoders = {name: LateInteractionEncoder(model, precision=name) for name in ("float32", "bfloat16")}
    default = library(model, encoders["float32"].model.device)
    print("| set | encoder | nDCG@10 |\n|---|---|---|")
    for name, corpus, documents, queries in (
        ("xquad", "corpus.en", 240, 600),
        ("squad-sent", "corpus", 13_447, 2000),
    ):
        ids, texts, questions, relevant = retrieval_set(arguments.data / name, corpus, documents, queries)
        ways = {
            "sentence-transformers": (
                lambda t: default.encode_document(t, convert_to_numpy=True),
                lambda q: default.encode_query(q, convert_to_numpy=True),
            )
        }
        for precision, encoder in encoders.items():
            ways[precision] = (
                lambda t, e=encoder: list(e.encode_documents(fit(e, t))),
                encoder.encode_queries,
            )
        for way, (encode_documents, encode_queries) in ways.items():
            scores = maxsim(encode_queries(questions), encode_documents(texts))
            print(f"| {name} | {way} | {ndcg(scores, ids, relevant):.4f} |")


def memory(arguments: argparse.Namespace, model: str) -> None:
    """Peak memory of the process after streams of growing length: the library's list against our iterator."""
    encoder = LateInteractionEncoder(model)
    texts = cut(encoder, read(arguments.data / "squad-sent" / "corpus.jsonl.gz"))
    counts = (1000, 2000, 4000, 8000)
    for count in counts:
        rows = sum(len(matrix) for matrix in encoder.encode_documents(iter(texts[:count])))
        print(f"streamed {count} texts, {rows} rows: peak {peak_megabytes():.0f} MB", flush=True)
    default = library(model, encoder.model.device)
    for count in counts:
        held = default.encode_document(texts[:count], convert_to_numpy=True)
        print(f"sentence-transformers, {len(held)} texts: peak {peak_megabytes():.0f} MB", flush=True)
        del held


def short(arguments: argparse.Namespace, model: str) -> None:
    """Memory of the process while 100,000 texts of eight words are added to a collection on disk."""
    sentences = read(arguments.data / "squad-sent" / "corpus.jsonl.gz")
    words = " ".join(sentences).split()
    with tempfile.TemporaryDirectory() as place:
        collection = Collection(Path(place) / "short", LateInteractionEncoder(model))
        print("| texts | in no file, MB | the most so far, MB |\n|--:|--:|--:|")
        for first in range(0, 100_000, 10_000):
            numbers = range(first, first + 10_000)
            texts = (" ".join(words[8 * n % len(words) :][:8]) for n in numbers)
            collection.add(
                (Document(text, str(n)) for n, text in zip(numbers, texts, strict=True)), show_progress=False
            )
            print(f"| {first + 10_000:,} | {anonymous():.0f} | {peak_megabytes():.0f} |", flush=True)


def library(model: str, device: torch.device) -> MultiVectorEncoder:
    """The same model as sentence-transformers runs it, in float32, without anything of this package."""
    loaded = (
        OFFLINE[model]().model.library if model in OFFLINE else MultiVectorEncoder(model, device=str(device))
    )
    return loaded.float().to(device).eval()


def read(path: Path) -> list[str]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line)["text"] for line in lines]


def cut(encoder: LateInteractionEncoder, texts: list[str]) -> list[str]:
    """Windows, so that both sides encode every word."""
    return [text[start:end] for text in texts for start, end in encoder.split(text)]


def fit(encoder: LateInteractionEncoder, texts: list[str]) -> Iterator[str]:
    """First windows: what the library keeps of a long text."""
    for text in texts:
        start, end = encoder.split(text)[0]
        yield text[start:end]


def interleaved(
    rows: dict[str, Callable[[], object]], repeats: int, device: torch.device
) -> dict[str, float]:
    """Median seconds of each, measured in turns, so that a slow minute of the machine hits all alike."""
    taken: dict[str, list[float]] = {name: [] for name in rows}
    for turn in range(repeats + 1):
        for name, run in rows.items():
            start = time.perf_counter()
            run()
            if device.type == "cuda":
                torch.cuda.synchronize()
            if turn:  # the first warms up
                taken[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in taken.items()}


def product_peaks(dtype: torch.dtype, device: torch.device) -> list[float]:
    """Most multiply-adds × 2 a second over the shapes that a transformer has: torch's own layer, and a packed one."""
    best = [0.0, 0.0]
    for rows, inner, columns in ((2048, 384, 1536), (2048, 1024, 4608), (2048, 2048, 2048)):
        layers = [torch.nn.Linear(inner, columns, bias=False).to(device, dtype) for _ in best]
        if device.type == "cpu":
            pack(layers[1])
        batch = torch.randn(rows, inner, device=device).to(dtype)
        ways = {str(i): lambda a=batch, f=layer: [f(a) for _ in range(4)] for i, layer in enumerate(layers)}
        with torch.inference_mode():
            taken = interleaved(ways, 3, device)
        best = [
            max(peak, 4 * 2 * rows * inner * columns / seconds)
            for peak, seconds in zip(best, taken.values(), strict=True)
        ]
    return best


def parameters(encoder: LateInteractionEncoder) -> int:
    return sum(parameter.numel() for parameter in encoder.model.parameters())


def flops(encoder: LateInteractionEncoder, length: int) -> float:
    """Multiplications and additions that a text of so many tokens needs, without padding."""
    config = encoder.model[0].model.config
    weights = sum(
        parameter.numel()
        for name, parameter in encoder.model.named_parameters()
        if parameter.ndim == 2 and "embed" not in name
    )
    kinds = getattr(config, "layer_types", None) or ["full_attention"] * config.num_hidden_layers
    attention = sum(kind == "full_attention" for kind in kinds) * 4 * length * config.hidden_size
    return length * (2 * weights + attention)


def retrieval_set(directory: Path, corpus: str, documents: int, queries: int) -> tuple:
    """Texts with their ids, and the questions whose answer is among them."""
    with gzip.open(directory / f"{corpus}.jsonl.gz", "rt", encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines][:documents]
    ids = [record["_id"] for record in records]
    known = set(ids)
    answers: dict[str, set[str]] = {}
    for line in (directory / "qrels.tsv").read_text("utf-8").splitlines()[1:]:
        question, document, score = line.split("\t")
        if int(score) > 0:
            answers.setdefault(question, set()).add(document)
    name = corpus.replace("corpus", "queries")
    with gzip.open(directory / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
        asked = [json.loads(line) for line in lines]
    asked = [one for one in asked if answers.get(one["_id"]) and answers[one["_id"]] <= known][:queries]
    texts = [record["text"] for record in records]
    return ids, texts, [one["text"] for one in asked], [answers[one["_id"]] for one in asked]


def maxsim(queries: list[np.ndarray], documents: list[np.ndarray]) -> np.ndarray:
    """Exact scores in float32, (queries, documents); a document without rows scores -inf."""
    scores = np.full((len(queries), len(documents)), -np.inf, np.float32)
    filled = [i for i, matrix in enumerate(documents) if len(matrix)]
    rows = np.concatenate([documents[i] for i in filled])
    starts = np.cumsum([0, *[len(documents[i]) for i in filled[:-1]]])
    for position, query in enumerate(queries):
        similarity = query @ rows.T  # (query tokens, all rows)
        scores[position, filled] = np.maximum.reduceat(similarity, starts, axis=1).sum(0)
    return scores


def ndcg(scores: np.ndarray, ids: list[str], relevant: list[set[str]], k: int = 10) -> float:
    """Mean of DCG / best DCG over the first k, relevance 0 or 1 (Järvelin and Kekäläinen 2002)."""
    discounts = 1 / np.log2(np.arange(k) + 2)
    total = 0.0
    for row, wanted in zip(scores, relevant, strict=True):
        gains = [ids[i] in wanted for i in np.argsort(-row, kind="stable")[:k]]
        total += float(discounts[: len(gains)] @ gains) / float(discounts[: min(len(wanted), k)].sum())
    return total / len(relevant)


def anonymous() -> float:
    """MB of this process that belong to no file."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1e3 for line in lines if line.startswith("RssAnon"))


def peak_megabytes() -> float:
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, kilobytes elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


if __name__ == "__main__":
    main()
