"""A process of its own that holds collections and does what it is told, one JSON line at a time.

    python -m tests.field.worker

Each line names an operation, the handle that it is for and its arguments; each answer is what came of it, or the class
and text of the error. A fault may be armed for the next operation: at a chosen call of retrievers.store._io that call
fails as on a full disk, or the process is killed.
"""

from __future__ import annotations

import errno
import inspect
import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from retrievers import Collection
from retrievers.errors import RetrieversError
from retrievers.store import _io
from retrievers.testing import HashingEncoder
from retrievers.types import Document

ENCODER = HashingEncoder(dim=16, document_length=4, query_weights=["length", "idf"])


class Fault:
    """Counts the calls of _io from the moment that it is armed, and lets one of them fail or kill."""

    def __init__(self) -> None:
        self.left = -1
        self.how = ""
        for name, call in inspect.getmembers(_io, inspect.isfunction):
            if call.__module__ == _io.__name__ and not name.startswith("_"):
                setattr(_io, name, self._wrapped(call))

    def arm(self, at: int, how: str) -> None:
        self.left, self.how = at, how

    def _wrapped(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def faulty(*arguments: Any, **options: Any) -> Any:
            self.left -= 1
            if self.left == -1:
                if self.how == "kill":
                    os.kill(os.getpid(), signal.SIGKILL)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return call(*arguments, **options)

        return faulty


class Worker:
    """The handles of this process, and what can be done with them."""

    def __init__(self) -> None:
        self.handles: dict[str, Collection] = {}

    def open(self, handle: str, path: str, bits: int | None) -> None:
        self.close(handle)
        self.handles[handle] = Collection(path, ENCODER, words="unicode61", bits=bits)

    def close(self, handle: str) -> None:
        if handle in self.handles:
            self.handles.pop(handle).close()

    def add(self, handle: str, items: dict[str, list[Any]]) -> None:
        texts, metadatas = [text for text, _ in items.values()], [data for _, data in items.values()]
        self.handles[handle].add(texts, ids=list(items), metadatas=metadatas, show_progress=False)

    def delete(self, handle: str, ids: list[str]) -> int:
        return self.handles[handle].delete(ids)

    def delete_by_filter(self, handle: str, number: int) -> int:
        return self.handles[handle].delete(filter={"n": number})

    def delete_by_function(self, handle: str, number: int) -> int:
        return self.handles[handle].delete(filter=lambda document: document.metadata["n"] == number)

    def replace_source(self, handle: str, source: str, items: dict[str, list[Any]]) -> None:
        """Store all nodes of a document of LlamaIndex, as an index does that refreshes it."""
        parts = [
            Document(text, key, data, source=source, attachment={"nodes": len(items)})
            for key, (text, data) in items.items()
        ]
        self.handles[handle].add_sources(parts, [source], show_progress=False)

    def delete_source(self, handle: str, source: str) -> int:
        return self.handles[handle].delete_sources([source])

    def compact(self, handle: str) -> None:
        self.handles[handle].compact()

    def optimize(self, handle: str) -> None:
        self.handles[handle].optimize(show_progress=False)

    def get(self, handle: str) -> list[list[Any]]:
        return [[one.id, one.text, dict(one.metadata)] for one in self.handles[handle].get()]

    def words(self, handle: str, query: str) -> list[list[Any]]:
        found = self.handles[handle].search(query, k=100, words=1.0)
        return [[hit.id, hit.text, hit.metadata, hit.normalized_score] for hit in found]

    def search(self, handle: str, query: str) -> list[list[Any]]:
        found = self.handles[handle].search(query, k=3)
        return [[hit.id, hit.text, hit.metadata, hit.normalized_score] for hit in found]


def main() -> None:
    worker, fault = Worker(), Fault()
    for line in sys.stdin:
        order = json.loads(line)
        name = order.pop("do")
        if name == "arm":
            fault.arm(**order)
            answer: dict[str, Any] = {"ok": None}
        else:
            try:
                answer = {"ok": getattr(worker, name)(**order)}
            except RetrieversError as error:
                answer = {"error": [one.__name__ for one in type(error).__mro__], "message": str(error)}
            except BaseException as error:  # reported, and the machine fails by it
                answer = {"unnamed": repr(error)}
            fault.arm(-1, "")
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
