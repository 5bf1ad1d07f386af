"""Filters as LangChain users write them, in the collection's own language."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from langchain_core.structured_query import (
    Comparator,
    Comparison,
    FilterDirective,
    Operation,
    Operator,
    StructuredQuery,
    Visitor,
)

from retrievers.filters import Filter
from retrievers.langchain.convert import from_document
from retrievers.types import Document


def translate(filter: Any) -> Any:
    """A filter for Collection.search out of what LangChain's callers hand over.

    Args:
        filter: None, a dictionary or one of retrievers.filters (they pass as they are), a directive of
            langchain_core.structured_query, or a callable that takes LangChain's Document.
    Returns:
        None, a dictionary, a Filter, or a callable that takes retrievers.Document.
    """
    if isinstance(filter, FilterDirective):
        return filter.accept(LateInteractionTranslator())
    if callable(filter) and not isinstance(filter, Filter):
        return _on_documents(filter)
    return filter


def _on_documents(predicate: Callable[[Any], Any]) -> Callable[[Document], bool]:
    return lambda document: bool(predicate(from_document(document)))


class LateInteractionTranslator(Visitor):
    """Structured queries, as SelfQueryRetriever writes them, to the collection's filter language.

    `like` is left out: what a language model means by its pattern differs from model to model.
    """

    allowed_operators = (Operator.AND, Operator.OR, Operator.NOT)
    allowed_comparators = (
        Comparator.EQ,
        Comparator.NE,
        Comparator.GT,
        Comparator.GTE,
        Comparator.LT,
        Comparator.LTE,
        Comparator.CONTAIN,
        Comparator.IN,
        Comparator.NIN,
    )

    def visit_operation(self, operation: Operation) -> dict[str, Any]:
        """`and`, `or`, `not` over filters; `not` of several means none of them."""
        self._validate_func(operation.operator)
        arguments = [argument.accept(self) for argument in operation.arguments]
        if operation.operator is Operator.NOT:
            return {"$not": arguments[0] if len(arguments) == 1 else {"$or": arguments}}
        return {f"${operation.operator.value}": arguments}

    def visit_comparison(self, comparison: Comparison) -> dict[str, Any]:
        """One attribute against one value."""
        self._validate_func(comparison.comparator)
        key, value = comparison.attribute, _plain(comparison.value)
        if comparison.comparator is not Comparator.CONTAIN:
            return {key: {f"${comparison.comparator.value}": value}}
        # A language model says `contain` of a list with an element and of a text with a part alike.
        has_element = {key: {"$contains": value}}
        return (
            {"$or": [has_element, {key: {"$text_match": value}}]} if isinstance(value, str) else has_element
        )

    def visit_structured_query(self, structured_query: StructuredQuery) -> tuple[str, dict[str, Any]]:
        """The question, and the search_kwargs that hold its filter."""
        if structured_query.filter is None:
            return structured_query.query, {}
        return structured_query.query, {"filter": structured_query.filter.accept(self)}


def _plain(value: Any) -> Any:
    """The query parser wraps dates as {"date": "2026-01-31", "type": "date"}; metadata holds the string."""
    if isinstance(value, dict) and value.get("type") in ("date", "datetime"):
        return value[value["type"]]
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
