"""The encoder: text to token matrices, through sentence-transformers' multi-vector models."""

from retrievers.encoder.model import Encoder, LateInteractionEncoder

__all__ = ["Encoder", "LateInteractionEncoder"]
