"""What the pydantic classes of this adapter are made with: a collection or an encoder, and known options alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, TypedDict

from pydantic import ConfigDict, PlainValidator, SkipValidation

from retrievers.collection.arguments import checked, refuse
from retrievers.collection.asynchronous import given
from retrievers.types import Encoder, SearchableCollection

OpenCollection = Annotated[SearchableCollection, PlainValidator(checked)]
"""A field that holds a collection and takes nothing else."""

Model = Annotated[Encoder, SkipValidation]
"""A field that holds an encoder; the collection that is made around it looks at it."""


class SearchOptions(TypedDict, total=False):
    """What a search takes besides k, filter and score_threshold; see Collection.search."""

    words: float | None
    pooled: float | None
    passages: int | None
    group_by: str | None
    group_size: int


OPTIONS = tuple(SearchOptions.__annotations__)


def chosen(options: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The options of a search that were given.

    Raises:
        UnknownOptionError: one that no search takes.
    """
    refuse(options, OPTIONS, where)
    return given(**options)


class Strict:
    """Put before a pydantic base class: a keyword that no field has is an error, which names the nearest field."""

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    advice: ClassVar[Mapping[str, str]] = {}
    """Where a keyword goes that is often put into the wrong place."""

    def __init__(self, **options: Any) -> None:
        refuse(options, type(self).model_fields, type(self).__name__, self.advice)  # type: ignore[attr-defined]
        super().__init__(**options)
