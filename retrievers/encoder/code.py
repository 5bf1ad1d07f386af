"""Code that a trusted checkpoint takes from another repository, put beside it at one commit.

A reference "owner/repository--module.Class" in auto_map leads transformers to the newest code of that repository, at
each load another one perhaps. Here that repository is fetched as the model itself is, and the checkpoint is loaded
from a directory that has links to its own files, the fetched code, and references that stay within.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from retrievers.encoder import hub
from retrievers.encoder.checkpoint import Layout
from retrievers.encoder.snapshots import Snapshot
from retrievers.encoder.source import Source

SEPARATOR = "--"


def fetch(layout: Layout, source: Source, revision: str | None) -> dict[str, Snapshot]:
    """The repositories that a checkpoint takes code from, each at one commit.

    Args:
        layout: of the checkpoint, which is trusted.
        source: of it; its token and cache serve for the code too.
        revision: of the code; None for the main branch as it is now.
    """
    references = ", ".join(layout.code.values()).split(", ")
    names = sorted({one.split(SEPARATOR)[0] for one in references if SEPARATOR in one})
    return {name: hub.fetch(replace(source, name=name, revision=revision), "code") for name in names}


@contextmanager
def beside(layout: Layout, repositories: Mapping[str, Snapshot]) -> Iterator[Path]:
    """A directory to load a checkpoint from: its own, or one that has the code of other repositories as well."""
    if not repositories:
        yield layout.directory
        return
    with TemporaryDirectory(prefix="retrievers-") as place:
        # A name for each set of code: Python keeps a module that it has imported.
        whole = Path(place) / "_".join(one.commit for one in repositories.values())
        for path in layout.files:
            target = whole / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to((layout.directory / path).resolve())
        for snapshot in repositories.values():
            for file in snapshot.directory.glob("*.py"):
                if not (whole / file.name).exists():
                    shutil.copyfile(file, whole / file.name)
        for path in layout.code:
            if path != "modules.json":
                (whole / path).unlink()
                (whole / path).write_text(json.dumps(_within(layout.json[path])), "utf-8")
        yield whole


def _within(content: Any) -> Any:
    """The configuration with references that name no other repository."""

    def short(reference: Any) -> Any:
        if isinstance(reference, list):
            return [short(one) for one in reference]
        return reference.split(SEPARATOR)[-1] if isinstance(reference, str) else reference

    mapped = content["auto_map"]
    within = {key: short(one) for key, one in mapped.items()} if isinstance(mapped, dict) else short(mapped)
    return {**content, "auto_map": within}
