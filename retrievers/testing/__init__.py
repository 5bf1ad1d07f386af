"""What a test of a collection or of an integration needs: an encoder without a model."""

from retrievers.testing.encoder import HashingEncoder

__all__ = ["HashingEncoder"]
