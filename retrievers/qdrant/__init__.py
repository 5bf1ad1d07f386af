"""The same collection on a Qdrant server or cluster: what a directory answers, `QdrantCollection` answers."""

from __future__ import annotations

from retrievers.errors import MissingExtraError

try:
    import qdrant_client as _client
except ImportError as error:
    raise MissingExtraError(
        'retrievers.qdrant needs qdrant-client: pip install "maxsim-retrievers[qdrant]"'
    ) from error

from retrievers.collection.transfer import Copied
from retrievers.qdrant.collection import QdrantCollection
from retrievers.qdrant.transfer import pull, push

__all__ = ["Copied", "QdrantCollection", "pull", "push"]

del _client
