"""What travels between the stages, and the two seams that others may build on: Encoder and SearchableCollection."""

from retrievers.types.evidence import Evidence, Highlight, Match, Snippet, TokenKind
from retrievers.types.hits import Hit, Hits, Passage
from retrievers.types.seams import (
    AsyncSearchableCollection,
    Condition,
    CountsTokens,
    DocumentFilter,
    Encoder,
    KeepsSources,
    Matrices,
    Metadatas,
    Names,
    Query,
    SearchableCollection,
    Texts,
)
from retrievers.types.values import (
    Document,
    EncodedText,
    Parts,
    QuantizedMatrix,
    TokenMatrix,
    Window,
    row_weights,
)

__all__ = [
    "AsyncSearchableCollection",
    "Condition",
    "CountsTokens",
    "Document",
    "DocumentFilter",
    "EncodedText",
    "Encoder",
    "Evidence",
    "Highlight",
    "Hit",
    "Hits",
    "KeepsSources",
    "Match",
    "Matrices",
    "Metadatas",
    "Names",
    "Parts",
    "Passage",
    "QuantizedMatrix",
    "Query",
    "SearchableCollection",
    "Snippet",
    "Texts",
    "TokenKind",
    "TokenMatrix",
    "Window",
    "row_weights",
]
