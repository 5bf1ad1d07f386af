"""Fill a collection from Parquet or JSON lines on all processors or GPUs of a machine, or of a Ray cluster.

    python examples/bulk_index.py passages/*.parquet --id doc_id --text body --metadata lang --into papers
    python examples/bulk_index.py passages.jsonl --into http://localhost:6333/papers --workers 4 --gpus 1
    python examples/bulk_index.py s3://bucket/passages/ --address ray://head:10001 --into http://qdrant:6333/papers

Needs: pip install "maxsim-retrievers[ray,qdrant]". Called again, it does what is missing.
"""

from __future__ import annotations

import argparse
from urllib.parse import urlsplit

import ray

from retrievers import Collection, LateInteractionEncoder
from retrievers.ray import Columns, index


def main(arguments: list[str] | None = None) -> None:
    given = parser().parse_args(arguments)
    if not ray.is_initialized():
        ray.init(given.address)
    lines = all(path.endswith((".jsonl", ".jsonl.gz")) for path in given.files)
    dataset = (ray.data.read_json if lines else ray.data.read_parquet)(given.files)
    columns = Columns(given.text, given.id or None, given.context, given.metadata)
    with opened(given.into, LateInteractionEncoder(given.model)) as collection:
        done = index(
            dataset, collection, columns=columns, workers=given.workers, cpus=given.cpus, gpus=given.gpus
        )
        print(f"{done.documents} documents; {given.into} has {len(collection)}.")


def opened(into: str, encoder: LateInteractionEncoder):
    """A collection in a directory, or on a server: http://host:6333/name."""
    parts = urlsplit(into)
    if parts.scheme not in ("http", "https"):
        return Collection(into, encoder)
    from retrievers.qdrant import QdrantCollection

    return QdrantCollection(f"{parts.scheme}://{parts.netloc}", parts.path.strip("/"), encoder)


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="+", help="Parquet files or folders, or files that end in .jsonl")
    parser.add_argument("--into", required=True, help="a directory, or http://host:6333/name")
    parser.add_argument("--model", default="LiquidAI/LFM2-ColBERT-350M")
    parser.add_argument("--text", default="text", help="column of the texts")
    parser.add_argument("--id", default="id", help="column of the ids; '' makes them of the texts")
    parser.add_argument("--context", help="column of what stands before a text, such as its title")
    parser.add_argument("--metadata", nargs="*", default=[], help="columns that become metadata")
    parser.add_argument("--workers", type=int, default=1, help="each has a model")
    parser.add_argument("--cpus", type=float, default=1, help="that a worker takes")
    parser.add_argument("--gpus", type=float, default=0, help="that a worker takes")
    parser.add_argument("--address", help="of a cluster, ray://host:10001; without it Ray runs here")
    return parser


if __name__ == "__main__":
    main()
