"""The encoder: text to token matrices, through sentence-transformers' multi-vector models."""

from retrievers.encoder.model import LateInteractionEncoder

__all__ = ["LateInteractionEncoder"]
