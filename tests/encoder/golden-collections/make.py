"""Write collections of format 1, with fingerprints of the first shape, and what the code of that time answers.

They are committed, and are not to be made again: later code writes format 2 and fingerprints with digests. They were
made with the code of commit 6c66b42 on sentence-transformers 6.2.0, transformers 5.24.0 and torch 2.13.0:

    git worktree add before 6c66b42
    PYTHONPATH=before python tests/encoder/golden-collections/make.py

`directory` names its model by the last part of a directory's path, as that code did; `hub` by a repository's name.
The byte-level tokenizer of pylate-modernbert makes tokens of white space around a text, which that code kept.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
CHECKPOINT = HERE.parents[1] / "golden" / "pylate-modernbert"
NAME = "acme/tiny"
DOCUMENTS = {
    "bare": "Ada Lovelace wrote the first program.",
    "spaced": "\n\n   Ada Lovelace wrote the first program.  \n\n",
    "tea": "Coffee: 3.50 euros; tea: 2.80 euros!",
    "gone": "This document is removed again.",
    "long": " ".join(f"Paris is the capital of France, said {i} of them." for i in range(12)) + "  ",
}
METADATA = {"bare": {"lang": "en"}, "tea": {"lang": "en", "price": 2.8}}
QUESTIONS = ["Who wrote the first program?", "   What is the capital?  \n", "tea"]


def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        hub = loopback()
        with hub.Hub() as serving:
            serving.commit(NAME, CHECKPOINT)
            # huggingface_hub reads these when it is first imported, below.
            os.environ |= {"HF_ENDPOINT": serving.url, "HF_HOME": place, "HF_HUB_OFFLINE": "0"}
            by_directory = write(HERE / "directory", str(CHECKPOINT))
            assert write(HERE / "hub", NAME) == by_directory
    lines = json.dumps(by_directory, indent=1, ensure_ascii=False)
    (HERE / "answers.json").write_text(lines + "\n", "utf-8")


def loopback():
    """tests/hub.py of this commit: the code on the path is an older one, and has none."""
    spec = importlib.util.spec_from_file_location("loopback_hub", HERE.parents[1] / "hub.py")
    module = sys.modules["loopback_hub"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write(path: Path, model: str) -> dict:
    from retrievers import Collection, LateInteractionEncoder

    shutil.rmtree(path, ignore_errors=True)
    encoder = LateInteractionEncoder(model, precision="float32", device="cpu")
    collection = Collection(path, encoder)
    collection.add(
        list(DOCUMENTS.values()), ids=list(DOCUMENTS), metadatas=[METADATA.get(id, {}) for id in DOCUMENTS]
    )
    collection.delete(["gone"])
    answers = {
        question: [
            [hit.id, round(hit.score, 6), hit.passage.start, hit.passage.end]
            for hit in collection.search(question, k=9)
        ]
        for question in QUESTIONS
    }
    rows = {
        name: len(next(encoder.encode_documents([DOCUMENTS[name]]))) for name in ("bare", "spaced", "tea")
    }
    info = collection.info()
    collection.close()
    return {"answers": answers, "rows": rows, "windows": info.windows, "tokens": info.tokens}


if __name__ == "__main__":
    main()
