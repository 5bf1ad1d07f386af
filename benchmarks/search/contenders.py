"""Which engines are measured, and at which settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Contender:
    """An engine and the options that it is measured with.

    Attributes:
        name: what the tables call it.
        engine: "module:Class".
        points: options of search, one dict an operating point; the first is the default.
        environment: the peer's, see install.py; None for ours.
        index: engines with the same index share the directory; None for those that have none.
        variables: added to the environment of the engine's process.
        changes: whether adding and deleting is measured.
    """

    name: str
    engine: str
    points: Sequence[dict[str, Any]] = ({},)
    environment: str | None = None
    index: str | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    changes: bool = False


BRUTE = [
    Contender("numpy float32", "benchmarks.search.brute:Numpy"),
    Contender("torch float32", "benchmarks.search.brute:Torch"),
    Contender("torch bfloat16", "benchmarks.search.brute:TorchBf16"),
    Contender("maxsim-cpu", "benchmarks.search.brute:MaxsimCpu"),
    Contender("sentence-transformers", "benchmarks.search.brute:SentenceTransformers"),
]
OURS = [
    Contender("exact scan", "benchmarks.search.ours:Exact", index="ours", changes=True),
    *(
        Contender(
            f"exact scan, {path} path",
            "benchmarks.search.ours:Exact",
            index="ours",
            variables={"RETRIEVERS_KERNEL": path},
        )
        for path in ("avx2", "portable")
    ),
    Contender(
        "pruned scan",
        "benchmarks.search.ours:Pruned",
        [{}, *({"candidates": n} for n in (25, 50, 100, 200, 400, 800, 1600))],
        index="ours-optimised",
        changes=True,
    ),
    Contender("Collection.search, exact", "benchmarks.search.ours:WholeSearch", index="ours"),
    Contender("Collection.search", "benchmarks.search.ours:WholePruned", index="ours-optimised"),
]
_WIDE = {"centroid_score_threshold": 0.0, "bound": 4096, "max_candidates": 200_000, "t_prime": 5000}
PEERS = [
    Contender(
        "fast-plaid",
        "benchmarks.search.peers:FastPlaid",
        [
            {},
            *({"n_ivf_probe": p, "n_full_scores": n} for p, n in ((2, 512), (4, 1024))),
        ],
        "fast-plaid",
        "fast-plaid",
        changes=True,
    ),
    Contender(
        "xtr-warp-rs",
        "benchmarks.search.peers:XtrWarp",
        [{}, {"nprobe": 16}, {"nprobe": 64}, *({"nprobe": n, **_WIDE} for n in (64, 128, 256, 512))],
        "xtr-warp-rs",
        "xtr-warp-rs",
        changes=True,
    ),
    Contender(
        "tachiom",
        "benchmarks.search.peers:Tachiom",
        [
            {},
            *(
                {"k_centroids": c, "ef_search": 2 * c, "k_docs_to_score": n, "alpha": None}
                for c, n in ((20, 500), (64, 2000), (256, 8000))
            ),
        ],
        "tachiom",
        "tachiom",
    ),
]
