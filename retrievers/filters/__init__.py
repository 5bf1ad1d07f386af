"""One filter language for metadata: as a Python predicate and as SQL."""

from retrievers.filters.language import OPERATORS, Combine, Compare, Filter
from retrievers.filters.parsing import parse
from retrievers.filters.sql import to_sql

__all__ = ["OPERATORS", "Combine", "Compare", "Filter", "parse", "to_sql"]
