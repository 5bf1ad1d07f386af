"""Pairs of texts scored by MaxSim, for the components that take a cross-encoder."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from retrievers.collection.arguments import scoring
from retrievers.types import Encoder, SearchableCollection

# langchain-core has the interface only since its 1.2 series. Before, langchain-classic had it, whose
# reranker takes no model of another class; without either there is nobody to ask for it.
HOMES = ("langchain_core.cross_encoders", "langchain_classic.retrievers.document_compressors.cross_encoder")


def _interface() -> type:
    for home in HOMES:
        try:
            interface: type = import_module(home).BaseCrossEncoder
            return interface
        except ImportError:
            continue
    return object


if TYPE_CHECKING:
    from langchain_core.cross_encoders import BaseCrossEncoder
else:
    BaseCrossEncoder = _interface()


class LateInteractionCrossEncoder(BaseCrossEncoder):
    """Scores (question, text) pairs; CrossEncoderReranker and its like take it as their model.

    Args:
        collection: a collection whose encoder is used; give this or encoder.
        encoder: an encoder, where there is no collection.
    Raises:
        InvalidInputError: both are given, or neither.
    """

    def __init__(
        self, *, collection: SearchableCollection | None = None, encoder: Encoder | None = None
    ) -> None:
        self.collection = scoring(collection, None, encoder)

    def score(self, text_pairs: list[tuple[str, str]]) -> list[float]:
        """Normalized MaxSim of each pair, in [0, 1] and in the order given; 0 for a text without tokens."""
        scores = [0.0] * len(text_pairs)
        places: dict[str, list[int]] = {}
        for place, (query, _) in enumerate(text_pairs):
            places.setdefault(query, []).append(place)
        for query, members in places.items():
            for hit in self.collection.rerank(query, [text_pairs[place][1] for place in members]):
                if hit.position is not None:
                    scores[members[hit.position]] = hit.normalized_score
        return scores
