"""Late-interaction retrieval: every word of a question against every word of every document.

encoder = LateInteractionEncoder()             a model: text to token matrices
collection = Collection("index", encoder)      a directory: creates it, or opens it
collection.add(["A text.", "Another text."])   encoded, quantised, stored
hits = collection.search("a question", k=5)    MaxSim over every token, best documents first
hits[0].passage                                the window of the text that answers
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from retrievers._version import __version__

if TYPE_CHECKING:
    from retrievers.collection import Collection as Collection
    from retrievers.encoder import LateInteractionEncoder as LateInteractionEncoder
    from retrievers.types import Document as Document
    from retrievers.types import Encoder as Encoder
    from retrievers.types import Evidence as Evidence
    from retrievers.types import Hit as Hit
    from retrievers.types import Hits as Hits
    from retrievers.types import Match as Match
    from retrievers.types import Window as Window

_HOME = {
    "Collection": "retrievers.collection",
    "Encoder": "retrievers.types",
    "LateInteractionEncoder": "retrievers.encoder",
    "Document": "retrievers.types",
    "Evidence": "retrievers.types",
    "Hit": "retrievers.types",
    "Hits": "retrievers.types",
    "Match": "retrievers.types",
    "Window": "retrievers.types",
}

__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
