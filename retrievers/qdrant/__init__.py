"""The same collection on a Qdrant server or cluster: what a directory answers, `QdrantCollection` answers."""

from __future__ import annotations

from retrievers.errors import MissingExtraError

try:
    import qdrant_client as _client
except ImportError as error:
    raise MissingExtraError(
        'retrievers.qdrant needs qdrant-client: pip install "maxsim-retrievers[qdrant]"'
    ) from error

from retrievers.qdrant.collection import QdrantCollection

__all__ = ["QdrantCollection"]

del _client
