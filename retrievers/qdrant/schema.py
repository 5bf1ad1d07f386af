"""What a collection of ours looks like on a server: made, recognised, and never changed where it is another's."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from qdrant_client import models

from retrievers.encoder import identity
from retrievers.errors import (
    FormatVersionError,
    InvalidInputError,
    StoreAccessError,
    StoreConflictError,
    StoreError,
)
from retrievers.kernels import nibbles
from retrievers.kernels.rows import RowForm
from retrievers.qdrant.fields import HASHES, NUMBERS, TENANT, TEXTS, name_of
from retrievers.qdrant.points import (
    DOCUMENT,
    GENERATION,
    NUMBER,
    POOLED,
    SEQUENCE,
    SOURCE,
    TOKENS,
    UNSETTLED,
    VERSION,
)
from retrievers.qdrant.steps import Request, Steps
from retrievers.qdrant.words import WORDS

FORMATS = {8: 1, 4: 2}  # by the bits of the rows: an earlier version would misread those of 4
MARK = "maxsim-retrievers"  # key of our own metadata in those of the collection
KEYWORDS, INTEGERS = (DOCUMENT, VERSION, HASHES, SOURCE), (NUMBER, GENERATION, SEQUENCE, UNSETTLED)
DATATYPES = ("float16", "float32")


@dataclass(frozen=True, slots=True)
class Layout:
    """What every request needs to know of a collection.

    Attributes:
        name: on the server, its own and no alias.
        form: of the rows.
        datatype: of the vectors on the server, "float16" or "float32".
        tenant: the metadata key whose value is the document's tenant; None without tenants.
        guarded: whether the server can compare a head before it replaces it (1.17 and later).
        words: whether each window has its words beside its rows, and BM25 chooses candidates too.
        local: whether the client's own engine keeps the points: it has no indexes and knows no quantisation.
        fingerprint: what tells the model from every other.
    """

    name: str
    form: RowForm
    datatype: str
    tenant: str | None
    words: bool
    guarded: bool
    local: bool
    fingerprint: Mapping[str, Any]

    @property
    def dim(self) -> int:
        """Length of a token vector."""
        return self.form.dim


@dataclass(frozen=True, slots=True)
class Wanted:
    """How a new collection is to be made; None leaves a choice to the server, or to what is there.

    Attributes:
        bits: of a number of the rows as a directory has them, 8 or 4; None means 8.
        datatype: of the rows, "float16" or "float32"; None means float16.
        quantization: of the token vectors, as qdrant_client.models has it.
        shard_number, replication_factor, write_consistency_factor: as the server takes them.
        tenant: the metadata key whose value is the document's tenant.
        words: whether BM25 chooses candidates too; False where a collection is opened as it is.
        indexed: metadata keys that filters compare by order, for which the server keeps an index.
    """

    bits: int | None = None
    datatype: str | None = None
    quantization: Any = None
    shard_number: int | None = None
    replication_factor: int | None = None
    write_consistency_factor: int | None = None
    tenant: str | None = None
    words: bool = False
    indexed: tuple[str, ...] = ()


def opened(
    name: str,
    fingerprint: Mapping[str, Any] | None,
    dim: int | None,
    wanted: Wanted,
    *,
    local: bool,
    guarded: bool,
) -> Steps[Layout]:
    """Open a collection, and make it where it is not there and a model is given.

    Args:
        fingerprint: of the encoder; None opens what is there with whatever model wrote it.
        dim: length of the encoder's vectors.
        local, guarded: see Layout.
    Raises:
        StoreError: there is no such collection, and no encoder to make it with.
        ModelMismatchError, FormatVersionError: it is another's; nothing was changed.
        InvalidInputError: it is there with other bits, datatype or tenant than those asked for; or 4 bits are asked for
            and dim is no multiple of 8.
    """
    if wanted.datatype is not None and wanted.datatype not in DATATYPES:
        raise InvalidInputError(f"datatype is {wanted.datatype!r}: one of {', '.join(DATATYPES)} is needed.")
    if wanted.bits == nibbles.BITS and dim is not None and dim != nibbles.width(dim):
        raise InvalidInputError(
            f"bits is 4 and the encoder has {dim} dimensions: on a server rows of 4 bits need a multiple of 8. Leave "
            "bits out, or use an encoder with other dimensions."
        )
    there = yield Request("collection_exists", {"collection_name": name})
    if there:
        name = yield from _own_name(name)
    else:
        if fingerprint is None or dim is None:
            raise StoreError(f"there is no collection {name!r}: give an encoder to make it, or another name.")
        # Another process may make it meanwhile: it is checked below like one that was there before.
        with suppress(StoreConflictError):
            yield Request("create_collection", creation(name, fingerprint, dim, wanted))
    info = yield Request("get_collection", {"collection_name": name})
    layout = recognised(name, info, fingerprint, wanted, guarded=guarded, local=local)
    if not local:
        for field, schema in indexes(layout.tenant, wanted.indexed).items():
            if field not in (info.payload_schema or {}):
                arguments = {
                    "collection_name": name,
                    "field_name": field,
                    "field_schema": schema,
                    "wait": True,
                }
                yield Request("create_payload_index", arguments)
    return layout


def _own_name(name: str) -> Steps[str]:
    """The name of a collection that may be given by an alias.

    An open collection belongs to what it opened: an alias may be switched to another model's collection meanwhile,
    which would answer this model's questions, and wrongly.
    """
    try:
        there = yield Request("get_aliases")
    except StoreAccessError:  # a key may be for some collections alone, and not for the list of aliases
        return name
    return next((str(one.collection_name) for one in there.aliases if one.alias_name == name), name)


def published(layout: Layout, alias: str) -> Steps[None]:
    """Let an alias name a collection: the server takes it from the one before in the same step."""
    create = models.CreateAlias(collection_name=layout.name, alias_name=alias)
    delete = models.DeleteAlias(alias_name=alias)
    there = yield Request("get_aliases")
    operations: list[Any] = []
    if any(one.alias_name == alias for one in there.aliases):
        operations.append(models.DeleteAliasOperation(delete_alias=delete))
    operations.append(models.CreateAliasOperation(create_alias=create))
    yield Request("update_collection_aliases", {"change_aliases_operations": operations})


def creation(name: str, fingerprint: Mapping[str, Any], dim: int, wanted: Wanted) -> dict[str, Any]:
    """Arguments of create_collection.

    The token vectors have no graph: a graph over multivectors costs memory and is not used, because the pooled
    vectors choose what is scored.
    """
    datatype = wanted.datatype or "float16"
    tokens = models.VectorParams(
        size=dim,
        distance=models.Distance.DOT,
        multivector_config=models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM),
        hnsw_config=models.HnswConfigDiff(m=0),
        quantization_config=wanted.quantization,
        datatype=models.Datatype(datatype),
        on_disk=True,
    )
    pooled = models.VectorParams(size=dim, distance=models.Distance.DOT)
    ours = {
        "format": FORMATS[wanted.bits or 8],
        "fingerprint": dict(fingerprint),
        "datatype": datatype,
        "tenant": wanted.tenant,
        "words": wanted.words,
    }
    chosen = {
        "shard_number": wanted.shard_number,
        "replication_factor": wanted.replication_factor,
        "write_consistency_factor": wanted.write_consistency_factor,
    }
    return {
        "collection_name": name,
        "vectors_config": {TOKENS: tokens, POOLED: pooled},
        "sparse_vectors_config": {WORDS: models.SparseVectorParams(modifier=models.Modifier.IDF)}
        if wanted.words
        else None,
        "metadata": {MARK: ours},
        **{key: value for key, value in chosen.items() if value is not None},
    }


def indexes(tenant: str | None, indexed: Sequence[str]) -> dict[str, Any]:
    """Payload fields that the server keeps an index of, and its kind."""
    made: dict[str, Any] = dict.fromkeys(KEYWORDS, models.PayloadSchemaType.KEYWORD)
    made |= dict.fromkeys(INTEGERS, models.PayloadSchemaType.INTEGER)
    for key in indexed:
        made[f"{NUMBERS}.{name_of(key)}"] = models.PayloadSchemaType.FLOAT
        made |= {f"{TEXTS}.{name_of(key)}.{place}": models.PayloadSchemaType.FLOAT for place in range(4)}
    if tenant is not None:
        made[TENANT] = models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True)
    return made


def recognised(
    name: str,
    info: Any,
    fingerprint: Mapping[str, Any] | None,
    wanted: Wanted,
    *,
    guarded: bool,
    local: bool,
) -> Layout:
    """The layout of a collection that is there, checked against what is wanted; see opened."""
    ours = (info.config.metadata or {}).get(MARK)
    if not isinstance(ours, Mapping):
        raise FormatVersionError(
            f"the collection {name!r} is there and was not made by this library, or on a server before 1.16, "
            "which keeps no metadata of a collection: choose another name."
        )
    found = [bits for bits, number in FORMATS.items() if number == ours.get("format")]
    if not found:
        raise FormatVersionError(
            f"the collection {name!r} has format {ours.get('format')!r}: this version reads {min(FORMATS.values())} to "
            f"{max(FORMATS.values())}. Use the version that wrote it, or build a new collection."
        )
    written = dict(ours.get("fingerprint") or {})
    if fingerprint is not None:
        identity.check(
            written,
            json.loads(json.dumps(dict(fingerprint))),
            f"the collection {name!r}",
            "build a new collection and switch the alias to it",
        )
    vectors = info.config.params.vectors
    if not isinstance(vectors, Mapping) or not {TOKENS, POOLED} <= set(vectors):
        raise FormatVersionError(
            f"the collection {name!r} has the vectors {sorted(vectors) if isinstance(vectors, Mapping) else vectors}:"
            f" {TOKENS!r} and {POOLED!r} are needed. Build a new collection."
        )
    tokens, pooled = vectors[TOKENS], vectors[POOLED]
    several = tokens.multivector_config is not None and pooled.multivector_config is None
    if (
        not several
        or {tokens.distance, pooled.distance} != {models.Distance.DOT}
        or tokens.size != pooled.size
    ):
        raise FormatVersionError(
            f"the collection {name!r} has vectors of another kind ({tokens}; {pooled}): multivectors with MaxSim "
            "of dot products and one vector of the same size are needed. Build a new collection."
        )
    [bits] = found
    for option, given, stored in (
        ("bits", wanted.bits, bits),
        ("datatype", wanted.datatype, ours.get("datatype")),
        ("tenant", wanted.tenant, ours.get("tenant")),
        ("words", wanted.words or None, ours.get("words")),
    ):
        if given is not None and given != stored:
            raise InvalidInputError(
                f"the collection {name!r} was made with {option}={stored!r}: leave {option} out, or "
                "build a new collection."
            )
    return Layout(
        name,
        RowForm(int(tokens.size), bits),
        str(ours["datatype"]),
        ours.get("tenant"),
        bool(ours.get("words")),
        guarded,
        local,
        written,
    )
