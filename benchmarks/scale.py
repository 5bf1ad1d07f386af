"""What a collection of 1, 10 and 100 million passages takes: bytes, memory, nodes, hours and milliseconds.

    python -m benchmarks.scale

Figures of this library and of Qdrant's engine are measured here, on the engine in process (qdrant-edge-py); the rest
are cited or assumed, and the page says which. Everything else is arithmetic. It writes results/scale.md.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import qdrant_edge as edge

from retrievers.qdrant.calls import default_candidates
from retrievers.qdrant.points import numbers

HERE = Path(__file__).resolve().parent
ROWS, DIM = 150, 128  # of a passage, which is one window
PASSAGES = (1_000_000, 10_000_000, 100_000_000)
WINDOWS = 1000  # that are measured
QUERY = 32  # rows of a question
COPIES = 2  # replication_factor

# Cited, with the source that the page names.
H100_FLOPS = 989.4e12  # a second in bfloat16, dense
POINT_RAM = 1.5  # of the pooled vectors: what graph, versions and segments being built take beside them
# Assumed: what the page says to replace by figures of one's own.
SHARE = 0.4  # of the peak that an encoder reaches
NODE_RAM, NODE_DISK = 64e9, 3.5e12  # bytes
NETWORK = 1.25e9  # bytes a second, 10 Gbit/s
READS = 500_000  # of 4 KiB at random, that a disk answers in a second
FILLED = 0.7  # of a node's memory and disk that is used
TOKENS = 180  # of a passage that the encoder reads, markers and what the skiplist drops included

MODELS = {
    "MiniLM-L6, 23 M (`offline/minilm`)": 10.6e6,
    "BERT base, 110 M (ColBERTv2, answerai-colbert)": 85e6,
    "ModernBERT base, 149 M (GTE-ModernColBERT)": 110e6,
    "LFM2-ColBERT, 350 M": 287e6,
}
"""Parameters that every token is multiplied by: those outside of the embedding table."""


@dataclass(frozen=True)
class Kind:
    """A way to keep rows.

    Attributes:
        name: of it.
        datatype: of the rows on disk.
        quantization: of the engine; None for none.
        codes: whether the engine keeps the codes beside the rows, in memory.
    """

    name: str
    datatype: str
    quantization: Any = None

    @property
    def codes(self) -> bool:
        return self.quantization is not None


def kinds() -> list[Kind]:
    found = [Kind("float32", "Float32"), Kind("float16", "Float16")]
    found.append(Kind("scalar", "Float16", edge.ScalarQuantizationConfig(edge.ScalarType.Int8)))
    found.append(
        Kind("turbo4", "Float16", edge.TurboQuantQuantizationConfig(bits=edge.TurboQuantBitSize.Bits4))
    )
    found.append(Kind("binary", "Float16", edge.BinaryQuantizationConfig()))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=HERE / "results" / "scale.md")
    given = parser.parse_args()
    measured = {kind.name: bytes_of(kind) for kind in kinds()}
    print(measured, flush=True)
    sent, prepared = upload()
    print(sent, prepared, flush=True)
    scored = scoring()
    print(scored, flush=True)
    given.output.write_text(page(measured, sent, prepared, scored), encoding="utf-8")
    print(f"written: {given.output}")


# Measured


def windows(count: int) -> Sequence[Any]:
    draw = np.random.default_rng(0)
    made = draw.standard_normal((count, ROWS, DIM), dtype=np.float32)
    return made / np.linalg.norm(made, axis=2, keepdims=True)


def shard_of(folder: str, kind: Kind) -> edge.EdgeShard:
    options = {} if kind.quantization is None else {"quantization_config": kind.quantization}
    tokens = edge.EdgeVectorParams(
        DIM,
        edge.Distance.Dot,
        on_disk=True,
        multivector_config=edge.MultiVectorConfig(edge.MultiVectorComparator.MaxSim),
        datatype=getattr(edge.VectorStorageDatatype, kind.datatype),
        hnsw_config=edge.HnswIndexConfig(m=0, ef_construct=100, full_scan_threshold=10_000),
        **options,
    )
    pooled = edge.EdgeVectorParams(DIM, edge.Distance.Dot)
    shard = edge.EdgeShard.create(folder, edge.EdgeConfig({"tokens": tokens, "pooled": pooled}))
    whole = windows(WINDOWS)
    for first in range(0, WINDOWS, 100):
        points = []
        for place in range(first, first + 100):
            mean = whole[place].mean(axis=0)
            vectors = {"tokens": whole[place].tolist(), "pooled": (mean / np.linalg.norm(mean)).tolist()}
            points.append(edge.Point(place, vectors, {}))
        shard.update(edge.UpdateOperation.upsert_points(points))
    shard.flush()
    shard.optimize()
    shard.flush()
    return shard


def bytes_of(kind: Kind) -> float:
    """Bytes a row in the engine's files: of the codes where there are codes, else of the rows."""
    with tempfile.TemporaryDirectory() as folder:
        shard_of(folder, kind).close()
        files = [path for path in Path(folder).rglob("*") if path.is_file() and "tokens" in str(path)]
        if kind.codes:
            kept = [path for path in files if path.name == "quantized.data"]
            return sum(path.stat().st_size for path in kept) / WINDOWS / ROWS
        kept = [path for path in files if "quantized" not in path.name and "offsets" not in str(path)]
        return sum(path.stat().st_blocks * 512 for path in kept) / WINDOWS / ROWS


def upload() -> tuple[float, float]:
    """Bytes of a row in a request of JSON, and seconds in which one processor makes a window's."""
    whole = windows(50)
    begin = time.process_time()
    size = sum(len(json.dumps(numbers(one.astype(np.float16)))) for one in whole)
    return size / 50 / ROWS, (time.process_time() - begin) / 50


def scoring(counts: Sequence[int] = (100, 200, 500, 1000)) -> float:
    """Seconds in which the engine scores one candidate of a question by MaxSim, from memory."""
    with tempfile.TemporaryDirectory() as folder:
        shard = shard_of(folder, Kind("float16", "Float16"))
        question = windows(1)[0][:QUERY]
        mean = question.mean(axis=0).tolist()

        def ask(count: int) -> float:
            first = edge.Prefetch(limit=count, query=edge.Query.Nearest(mean, using="pooled"))
            query = edge.Query.Nearest(question.tolist(), using="tokens")
            begin = time.perf_counter()
            shard.query(edge.QueryRequest(limit=count, query=query, prefetches=[first]))
            return time.perf_counter() - begin

        taken = {count: statistics.median(ask(count) for _ in range(21)) for count in counts}
        shard.close()
    return (taken[counts[-1]] - taken[counts[0]]) / (counts[-1] - counts[0])


# Arithmetic


def page(measured: dict[str, float], sent: float, prepared: float, scored: float) -> str:
    half = measured["float16"]
    lines = [
        "# Sizes",
        "",
        f"Written by `python -m benchmarks.scale`: passages of one window with {ROWS} rows of {DIM} dimensions. "
        f"Measured on Qdrant's engine in process (qdrant-edge-py {version('qdrant-edge-py')}), one core of an "
        "AMD EPYC (Zen 3, AVX2) that others used too; cited and assumed figures stand at the end. GB are 10⁹ bytes.",
        "",
        "## Rows",
        "",
        "| kept as | bytes a row, measured | "
        + " | ".join(f"{count:,} passages" for count in PASSAGES)
        + " |",
        "|---|--:|" + "--:|" * len(PASSAGES),
    ]
    for name, size in measured.items():
        what = f"{name} codes, beside the rows" if name in ("scalar", "turbo4", "binary") else name
        total = [f"{size * ROWS * count / 1e9:,.0f} GB" for count in PASSAGES]
        lines.append(f"| {what} | {size:.0f} | " + " | ".join(total) + " |")
    lines.append(
        "| a directory of this library, 8 bits and a scale | 132 | "
        + " | ".join(f"{132 * ROWS * count / 1e9:,.0f} GB" for count in PASSAGES)
        + " |"
    )
    lines += [
        "",
        "Codes are beside the rows, in memory, and serve `exact=True` alone: candidates are scored by the rows.",
        "",
        f"## A cluster with float16 rows and {COPIES} copies",
        "",
        "| | " + " | ".join(f"{count:,} passages" for count in PASSAGES) + " |",
        "|---|" + "--:|" * len(PASSAGES),
    ]
    table: dict[str, list[str]] = {
        "rows on disk, all copies": [],
        "pooled vectors and their graph in memory, all copies": [],
        f"nodes of {NODE_RAM / 1e9:.0f} GB memory and {NODE_DISK / 1e12:.1f} TB disk, at least 3": [],
        "bytes that are sent, JSON": [],
        "hours of one processor core to make the requests": [],
        f"hours to send them at {NETWORK * 8 / 1e9:.0f} Gbit/s": [],
        "candidates, the default": [],
        "bytes that a question reads": [],
        "ms to score them, on one core": [],
        "ms to read them where none is in memory": [],
    }
    for count in PASSAGES:
        disk = half * ROWS * count * COPIES
        memory = count * DIM * 4 * POINT_RAM * COPIES
        nodes = max(3, -int(-disk // (NODE_DISK * FILLED)), -int(-memory // (NODE_RAM * FILLED)))
        body = sent * ROWS * count
        candidates = default_candidates(count)
        pages = -(-half * ROWS // 4096) + 1
        values = [
            f"{disk / 1e9:,.0f} GB",
            f"{memory / 1e9:,.1f} GB",
            f"{nodes}",
            f"{body / 1e9:,.0f} GB",
            f"{prepared * count / 3600:,.1f}",
            f"{body / NETWORK / 3600:,.1f}",
            f"{candidates:,}",
            f"{candidates * half * ROWS / 1e6:,.0f} MB",
            f"{candidates * scored * 1e3:,.0f}",
            f"{candidates * pages / READS * 1e3:,.0f}",
        ]
        for row, value in zip(table.values(), values, strict=True):
            row.append(value)
    lines += [f"| {name} | " + " | ".join(row) + " |" for name, row in table.items()]
    lines += [
        "",
        "Scoring and reading divide by the nodes and cores that work at one question: shards answer beside each other.",
        "",
        "## GPU hours to encode",
        "",
        f"2 × parameters operations a token, {TOKENS} tokens a passage, one H100 at {SHARE:.0%} of its peak.",
        "",
        "| model | parameters a token meets | "
        + " | ".join(f"{count:,} passages" for count in PASSAGES)
        + " |",
        "|---|--:|" + "--:|" * len(PASSAGES),
    ]
    for name, parameters in MODELS.items():
        hours = [2 * parameters * TOKENS * count / (H100_FLOPS * SHARE) / 3600 for count in PASSAGES]
        lines.append(
            f"| {name} | {parameters / 1e6:.0f} M | " + " | ".join(f"{one:,.1f}" for one in hours) + " |"
        )
    lines += [
        "",
        "## Where the figures are from",
        "",
        f"- Measured by this script: the bytes; {sent:,.0f} bytes of JSON a row, {prepared * 1e3:.0f} ms of a core to "
        f"make those of a window; {scored * 1e6:,.0f} µs to score a candidate against {QUERY} rows, from memory.",
        f"- Cited: memory for vectors in RAM is {POINT_RAM} × their bytes ([Qdrant, capacity planning]"
        "(https://qdrant.tech/documentation/guides/capacity-planning/)); three nodes at least, so that one may fail "
        "([Qdrant, distributed deployment](https://qdrant.tech/documentation/guides/distributed_deployment/)); "
        f"{H100_FLOPS / 1e12:.0f} × 10¹² operations a second of an H100 SXM5 in dense bfloat16 "
        "([NVIDIA's data sheet](https://www.nvidia.com/en-us/data-center/h100/): half of the sparse figure).",
        f"- Assumed, to be replaced by your own: {SHARE:.0%} of the peak (on a processor the encoder reaches "
        "50 to 80 %, see [Encoding](encoding.md); no GPU was measured), "
        f"{READS:,} random reads of 4 KiB a second (measure yours with `fio`), nodes used to {FILLED:.0%}, {TOKENS} "
        f"tokens for {ROWS} rows, and parameters outside of the embedding tables from the models' configurations.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
