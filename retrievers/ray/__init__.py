"""Bulk encoding on Ray: a Ray Data pipeline of the encoder that fills a collection, on one machine or a cluster."""

from __future__ import annotations

from retrievers.errors import MissingExtraError

try:
    import ray.data as _data
except ImportError as error:
    raise MissingExtraError('retrievers.ray needs Ray Data: pip install "maxsim-retrievers[ray]"') from error

from retrievers.ray.columns import Columns
from retrievers.ray.merging import merge
from retrievers.ray.pipeline import Indexed, index

__all__ = ["Columns", "Indexed", "index", "merge"]

del _data
