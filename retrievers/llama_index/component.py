"""What the pydantic classes of this adapter are made of: a collection, its place and its model, known options."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from llama_index.core.bridge.pydantic import BaseModel, PrivateAttr
from llama_index.core.callbacks import CallbackManager
from llama_index.core.schema import BaseComponent, QueryBundle

from retrievers.collection.arguments import refuse
from retrievers.collection.validate import shown
from retrievers.errors import InvalidInputError
from retrievers.types import Hit, SearchableCollection

Score = Literal["normalized", "maxsim"]
"""The scale of a node's score: MaxSim divided by the number of query vectors, in [0, 1], or MaxSim itself."""

SCORES: tuple[Score, ...] = ("normalized", "maxsim")


class Component(BaseComponent):
    """A component over a collection, which is pickled and copied with it, and says where it is.

    Attributes:
        path: the collection's directory, absolute; None where it has none.
        model: the name of its model.
    """

    path: str | None = None
    model: str = ""

    _collection: SearchableCollection = PrivateAttr()

    advice: ClassVar[Mapping[str, str]] = {}
    """Where a keyword goes that is often put into the wrong place."""

    def __init__(self, collection: SearchableCollection, **fields: Any) -> None:
        refuse(fields, type(self).model_fields, type(self).__name__, self.advice)
        directory = getattr(collection, "path", None)
        fields["path"] = None if directory is None else str(Path(directory).absolute())
        fields["model"] = str(collection.fingerprint["model"])
        super().__init__(**fields)
        self._collection = collection

    @property
    def collection(self) -> SearchableCollection:
        """The collection."""
        return self._collection

    @classmethod
    def from_dict(cls, data: dict[str, Any], **kwargs: Any) -> Self:
        """A component as to_dict described it: its directory opened again, or with collection= or encoder=."""
        if "collection" in kwargs:
            data = {key: value for key, value in data.items() if key != "path"}
        return super().from_dict(data, **kwargs)

    # BaseComponent drops what it cannot pickle, with a line in the log, and a store without its collection is
    # of no use: here the collection itself says why it cannot be pickled.
    def __getstate__(self) -> dict[str, Any]:
        state = BaseModel.__getstate__(self)
        # Callbacks belong to a process: to its open files, its traces.
        fields = {name: value for name, value in state["__dict__"].items() if name != "callback_manager"}
        return {**state, "__dict__": fields}

    def __setstate__(self, state: dict[str, Any]) -> None:
        told = (
            {"callback_manager": CallbackManager()} if "callback_manager" in type(self).model_fields else {}
        )
        BaseModel.__setstate__(self, {**state, "__dict__": {**state["__dict__"], **told}})


def question(query_bundle: QueryBundle | None) -> str:
    """The text of a query.

    Raises:
        InvalidInputError: there is none.
    """
    if query_bundle is None:
        raise InvalidInputError("a question is needed: postprocess_nodes(nodes, query_str='…').")
    return query_bundle.query_str


def scale(score: str) -> Score:
    """The name of a scale.

    Raises:
        InvalidInputError: it is another.
    """
    for name in SCORES:
        if score == name:
            return name
    raise InvalidInputError(
        f"score is {shown(score)}: 'normalized' is MaxSim divided by the number of query vectors, in [0, 1], and "
        "'maxsim' is MaxSim."
    )


def score_of(hit: Hit, score: Score) -> float:
    """A hit's score on a scale. A blend of several parts orders by itself, and lies in [0, 1] too."""
    if hit.parts is not None:
        return hit.score if score == "normalized" else hit.parts.maxsim
    return hit.normalized_score if score == "normalized" else hit.score
