"""What weights of 8 bits would give: speed and rows, beside the number formats that there are.

    python -m benchmarks.int8 --data ../shared/data                # MiniLM
    python -m benchmarks.int8 --data ../shared/data --lfm2         # random weights, LFM2-ColBERT-350M's size
    python -m benchmarks.int8 --data ../shared/data --quality      # nDCG@10 of four whole sets, MiniLM

torch's dynamic quantisation (torch.ao.quantization) of all linear layers, by each of its engines that this processor
has, with one scale a layer and with one a row of each weight. The encoders take turns. A cosine is that of a token's
row and the row of float32.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from torch.ao import quantization

from benchmarks.checkpoints import lfm2_sized
from benchmarks.encoding import cut, read
from benchmarks.search.report import machine
from retrievers.encoder import LateInteractionEncoder
from retrievers.encoder.onednn import PackedLinear
from retrievers.evaluate import compare, load

SCALES = {"one scale a layer": "default_dynamic_qconfig", "one a row": "per_channel_dynamic_qconfig"}
ENGINES = ("x86", "onednn")
SETS = ("xquad", "cosqa", "squad-sent", "scifact")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="directory with xquad")
    parser.add_argument("--lfm2", action="store_true", help="354M random parameters in place of MiniLM")
    parser.add_argument("--quality", action="store_true", help="what sets find, in place of the speed")
    parser.add_argument("--texts", type=int, default=0, help="0 chooses by model")
    parser.add_argument("--repeats", type=int, default=5)
    chosen = parser.parse_args()
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    if chosen.quality:
        quality(chosen.data)
        return
    with tempfile.TemporaryDirectory() as directory:
        model = str(lfm2_sized(Path(directory) / "lfm2-size")) if chosen.lfm2 else "offline/minilm"
        encoders = {name: LateInteractionEncoder(model, precision=name) for name in ("float32", "bfloat16")}
        for engine in ENGINES:
            if engine in torch.backends.quantized.supported_engines:
                for name, scales in SCALES.items():
                    encoders[f"int8, {engine}, {name}"] = quantised(model, engine, scales)
        count = chosen.texts or (6 if chosen.lfm2 else 60)
        texts = cut(encoders["float32"], read(chosen.data / "xquad" / "corpus.en.jsonl.gz"))[:count]
        rows, times = measured(encoders, texts, chosen.repeats)
    print(f"{machine()} {len(texts)} passages of xquad.\n")
    print(
        "| encoder | seconds | × float32 | cosine, mean | cosine, 1 % of rows are below |\n|---|--:|--:|--:|--:|"
    )
    for name, some in rows.items():
        seconds = statistics.median(times[name])
        cosines = np.einsum("ij,ij->i", some, rows["float32"])
        print(
            f"| {name} | {seconds:.2f} | {statistics.median(times['float32']) / seconds:.2f} | {cosines.mean():.4f} | "
            f"{np.quantile(cosines, 0.01):.4f} |"
        )


def quality(data: Path) -> None:
    """nDCG@10 of each set with the number format that the hardware takes, and with 8 bits and one scale a row."""
    encoders = {
        "default": LateInteractionEncoder("offline/minilm"),
        "int8": quantised("offline/minilm", ENGINES[0], SCALES["one a row"]),
    }
    torch.backends.quantized.engine = ENGINES[0]
    print(f"{machine()}\n\n| set | default | int8 | int8 less default, thousandths |\n|---|--:|--:|--:|")
    for name in SETS:
        benchmark = load(data / name, language="en") if name == "xquad" else load(data / name)
        table = compare(benchmark.documents, benchmark.queries, benchmark.qrels, encoders, baselines=())
        default, narrow = (row.values["nDCG@10"] for row in table.rows)
        print(f"| {name} | {default:.4f} | {narrow:.4f} | {(narrow - default) * 1e3:+.0f} |", flush=True)


def quantised(model: str, engine: str, scales: str) -> LateInteractionEncoder:
    """An encoder in float32 whose linear layers have weights of 8 bits."""
    torch.backends.quantized.engine = engine
    encoder = LateInteractionEncoder(model, precision="float32")
    for layer in encoder.model.modules():
        if type(layer) is PackedLinear:
            layer.__class__ = torch.nn.Linear
    kinds = {torch.nn.Linear: getattr(quantization, scales)}
    quantization.quantize_dynamic(encoder.model, kinds, dtype=torch.qint8, inplace=True)
    encoder.engine = engine
    return encoder


def measured(
    encoders: dict[str, LateInteractionEncoder], texts: list[str], repeats: int
) -> tuple[dict[str, np.ndarray], dict[str, list[float]]]:
    """Rows, float32, (tokens, dim), of length 1, and seconds of each repeat, by encoder."""
    rows: dict[str, np.ndarray] = {}
    times: dict[str, list[float]] = {name: [] for name in encoders}
    for turn in range(repeats + 1):
        for name, encoder in encoders.items():
            torch.backends.quantized.engine = getattr(encoder, "engine", "x86")
            begin = time.perf_counter()
            found = np.concatenate(list(encoder.encode_documents(texts)))
            if turn:  # the first one warms up
                times[name].append(time.perf_counter() - begin)
            rows[name] = found / np.linalg.norm(found, axis=1, keepdims=True)
    return rows, times


if __name__ == "__main__":
    main()
