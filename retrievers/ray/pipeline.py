"""The pipeline: a dataset of Ray Data goes through workers with a model each into a collection."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray.data import ActorPoolStrategy, Dataset
from ray.data.expressions import monotonically_increasing_id
from ray.util.client import ray as client

from retrievers import errors
from retrievers.collection import Collection, validate
from retrievers.errors import InvalidInputError, InvalidTypeError, RetrieversError
from retrievers.ray.columns import Columns
from retrievers.ray.merging import merge
from retrievers.ray.targets import Shards, Target, on_server, shards_of, sweep
from retrievers.ray.worker import PLACE, Worker

if TYPE_CHECKING:
    from retrievers.qdrant import QdrantCollection


@dataclass(frozen=True, slots=True)
class Indexed:
    """What a pipeline has done.

    Attributes:
        documents: rows of the dataset that are stored.
        batches: that they were stored in.
    """

    documents: int
    batches: int


def index(
    dataset: Dataset,
    into: Collection | QdrantCollection,
    *,
    columns: Columns | None = None,
    workers: int = 1,
    cpus: float = 1.0,
    gpus: float = 0.0,
    batch_documents: int = 1024,
    shards: str | PathLike[str] | None = None,
) -> Indexed:
    """Encode a dataset on Ray, and store it in a collection as its add does.

    The workers are actors that hold a model each, loaded from what the collection's encoder pickles to; each checks
    that its model is the collection's. The encoder cuts long texts into windows, and batches them by tokens. Ray shows
    the progress, starts workers that died again, and gives what they were at to another: nothing is stored twice
    and nothing is left out. A pipeline that was stopped goes on where it was when it is called again.

    On a Qdrant server the workers store what they have encoded, and do not encode what is stored. For a directory each
    batch becomes a shard, a collection of its own, and the shards are merged when all are there.

    Args:
        dataset: of Ray Data, from Parquet say; connect to a cluster by ray.init before.
        into: an open collection; its encoder encodes. One on Qdrant has to be on a server.
        columns: of the dataset that make a document; None means "id" and "text".
        workers: actors, each with a model. On processors leave one for reading the dataset.
        cpus, gpus: that each worker takes of the cluster, which may be parts.
        batch_documents: documents that are encoded and stored as one.
        shards: a directory that all machines see, for a collection in a directory; None takes one beside the
            collection, and removes it in the end. One that was given stays, for `merge`.
    Raises:
        InvalidInputError, InvalidTypeError: an argument, or a row of the dataset, cannot be used. Batches before
            it may be stored.
        ModelMismatchError: a worker has another model.
        StoreError: a worker could not store what it had encoded; see the kinds of it.
    """
    columns = Columns() if columns is None else columns
    if not isinstance(dataset, Dataset):
        raise InvalidTypeError(f"dataset is of type {type(dataset).__name__}: a ray.data.Dataset is needed.")
    if not isinstance(columns, Columns):
        raise InvalidTypeError(
            f"columns is of type {type(columns).__name__}: Columns(text=…, id=…) is needed."
        )
    workers = validate.count(workers, "workers")
    batch_documents = validate.count(batch_documents, "batch_documents")
    _check_room(workers, _share(cpus, "cpus"), _share(gpus, "gpus"))
    columns.check(dataset.columns() or [])
    directory = None
    target: Target
    if isinstance(into, Collection):
        directory = _directory(into, shards)
        directory.mkdir(parents=True, exist_ok=True)
        target = Shards(str(directory), into.bits)
    elif shards is not None:
        raise InvalidInputError(
            "shards is given beside a collection on a server, which has none: leave it out."
        )
    else:
        target = on_server(into)
    arguments = {
        "encoder": into.encoder,
        "fingerprint": dict(into.encoder.fingerprint),
        "columns": columns,
        "target": target,
    }
    answers = (
        dataset.select_columns(columns.names)
        .with_column(PLACE, monotonically_increasing_id())
        .map_batches(
            Worker,
            fn_constructor_kwargs=arguments,
            batch_size=batch_documents,
            batch_format="pyarrow",
            compute=ActorPoolStrategy(size=workers),
            num_cpus=cpus,
            num_gpus=gpus or None,
        )
    )
    done = _collected(answers)
    if directory is not None and isinstance(into, Collection):
        sweep(directory)
        merge(shards_of(directory), into)
        if shards is None:
            shutil.rmtree(directory)
    return done


def _collected(answers: Dataset) -> Indexed:
    """Run the pipeline.

    Raises:
        RetrieversError: the first that a worker met; the pipeline is stopped.
    """
    if (
        client.is_connected()
    ):  # ray.init("ray://…"): such a program has no part in Ray Data, so a task takes its place
        documents, batches, error, message = ray.get(ray.remote(num_cpus=0)(_read).remote(answers))
    else:
        documents, batches, error, message = _read(answers)
    if error:
        kind: Any = getattr(errors, error, RetrieversError)
        raise kind(message)
    return Indexed(documents, batches)


def _read(answers: Dataset) -> tuple[int, int, str, str]:
    """Documents and batches of the workers' answers, or the name of an error and its message."""
    documents = batches = 0
    for row in answers.iter_rows():
        if row["error"]:
            return documents, batches, row["error"], row["message"]
        documents += row["documents"]
        batches += 1
    return documents, batches, "", ""


def _directory(collection: Collection, shards: str | PathLike[str] | None) -> Path:
    """Where the shards go."""
    given = validate.directory(shards)
    if given is not None:
        return given.absolute()
    if collection.path is None:
        raise InvalidInputError(
            "the collection is in memory: say by shards= in which directory the workers are to put what they encode."
        )
    return collection.path.with_name(f"{collection.path.name}.shards")


def _share(value: float, name: str) -> float:
    """A part of a machine that a worker takes."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidTypeError(f"{name} is of type {type(value).__name__}: a number is needed.")
    if not 0 <= value < float("inf"):
        raise InvalidInputError(f"{name} is {value}: 0 or more is needed.")
    return float(value)


def _check_room(workers: int, cpus: float, gpus: float) -> None:
    """Whether the cluster holds the workers and a task that reads: Ray would wait for room for ever.

    Raises:
        InvalidInputError: it does not.
    """
    there = ray.cluster_resources()
    for name, needed in (("CPU", workers * cpus + 1), ("GPU", workers * gpus)):
        if needed > there.get(name, 0):
            more = " and one to read the dataset" if name == "CPU" else ""
            raise InvalidInputError(
                f"{workers} workers of {cpus:g} CPUs and {gpus:g} GPUs{more} need {needed:g} {name}s, and Ray has "
                f"{there.get(name, 0):g}: take fewer workers, give each a part (cpus=0.5), or start more nodes first."
            )
