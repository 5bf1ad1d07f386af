"""What weights of 8 bits would give: speed and rows, beside the number formats that there are.

    python -m benchmarks.int8 --data ../shared/data                # MiniLM
    python -m benchmarks.int8 --data ../shared/data --lfm2         # random weights, LFM2-ColBERT-350M's size

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

SCALES = {"one scale a layer": "default_dynamic_qconfig", "one a row": "per_channel_dynamic_qconfig"}
ENGINES = ("x86", "onednn")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="directory with xquad")
    parser.add_argument("--lfm2", action="store_true", help="354M random parameters in place of MiniLM")
    parser.add_argument("--texts", type=int, default=0, help="0 chooses by model")
    parser.add_argument("--repeats", type=int, default=5)
    chosen = parser.parse_args()
    warnings.filterwarnings("ignore", category=DeprecationWarning)
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
