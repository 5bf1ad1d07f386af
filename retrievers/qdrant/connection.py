"""The two clients of a server, the one that waits and the one that is awaited, and how often they try."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Callable
from os import PathLike, fspath
from threading import RLock
from typing import Any
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from qdrant_client import AsyncQdrantClient, QdrantClient

from retrievers.collection import validate
from retrievers.errors import (
    InvalidInputError,
    InvalidTypeError,
    StoreClosedError,
    StoreConflictError,
    StoreError,
    StoreLockedError,
)
from retrievers.kernels.fork import per_process
from retrievers.qdrant.refusals import FOREIGN, passing, pause_after, refusal
from retrievers.qdrant.steps import Compute, Request, Step

MEMORY = ":memory:"
TRIES = 3
GUARDED_SINCE = (1, 17)  # version of the server that can compare a point before it replaces it


class _Engines:
    def __init__(self) -> None:
        self.locks: WeakKeyDictionary[QdrantClient, RLock] = WeakKeyDictionary()


_engines = per_process(_Engines)


class Connection:
    """Answers requests, with what may pass tried again.

    A process that was forked makes its own clients: two processes that read from one socket get each other's
    answers.

    Args:
        where: a server's URL, ":memory:", a directory of the client's own engine as a Path, or a QdrantClient.
        api_key: the server's key.
        timeout: seconds for one request.
        prefer_grpc: whether requests are made by gRPC, which is a fifth of JSON in size.
    """

    def __init__(
        self,
        where: str | PathLike[str] | QdrantClient,
        *,
        api_key: str | None,
        timeout: float,
        prefer_grpc: bool,
    ) -> None:
        self.pause: Callable[[float], None] = time.sleep
        self._process = os.getpid()
        self._closed = False
        self._own = not isinstance(where, QdrantClient)
        self._awaited: WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncQdrantClient] = WeakKeyDictionary()
        if isinstance(where, QdrantClient):
            self.client = where
        else:
            options = {"api_key": api_key, "timeout": _whole(timeout), "prefer_grpc": prefer_grpc}
            self.client = _made(where, {**options, "check_compatibility": False})
        options = self.client.init_options
        self.local = options.get("path") is not None or options.get("location") == MEMORY
        self.address = _address(options)

    @property
    def guarded(self) -> bool:
        """Whether the server can compare a point before it replaces it."""
        if self.local:
            return True
        version = str(self(Request("info")).version)
        found = re.match(r"(\d+)\.(\d+)", version)
        return found is not None and (int(found[1]), int(found[2])) >= GUARDED_SINCE

    def __call__(self, step: Step) -> Any:
        """The answer to a step.

        Raises:
            StoreError: a kind of it; see refusals.
        """
        if isinstance(step, Compute):
            return step.work()
        self._check_open()
        if self.local:
            return self._engine(step)
        for attempt in range(TRIES):
            try:
                return getattr(self.client, step.method)(**step.arguments)
            except FOREIGN as error:
                if attempt + 1 == TRIES or not passing(error):
                    raise refusal(error, self.address, step.method) from error
                self.pause(pause_after(error, attempt))
        raise AssertionError("the last try returns or raises")

    async def awaited(self, step: Step) -> Any:
        """As a call; the event loop goes on meanwhile."""
        if isinstance(step, Compute):
            return await asyncio.to_thread(step.work)
        self._check_open()
        if self.local:  # nothing to wait for but the processor
            return await asyncio.to_thread(self._engine, step)
        client = self._client_of_loop()
        for attempt in range(TRIES):
            try:
                return await getattr(client, step.method)(**step.arguments)
            except FOREIGN as error:
                if attempt + 1 == TRIES or not passing(error):
                    raise refusal(error, self.address, step.method) from error
                await asyncio.sleep(pause_after(error, attempt))
        raise AssertionError("the last try returns or raises")

    def again(self) -> tuple[str | QdrantClient, dict[str, Any]]:
        """What a collection on a client of its own is opened with; the client itself where there can be no other."""
        if self.local or not self._own:
            return self.client, {}
        options = self.client.init_options
        return options["url"], {key: options[key] for key in ("api_key", "timeout", "prefer_grpc")}

    def portable(self) -> tuple[str, dict[str, Any]]:
        """What a collection in another process is opened with.

        Raises:
            InvalidTypeError: that process cannot reach the points, or would need what no pickle may hold.
        """
        where, options = self.again()
        if self.local:
            reason = "only this process has what it is in"
        elif isinstance(where, QdrantClient):
            reason = "its client was given to it"
        elif options.pop("api_key") is not None or where != _without_key(where):
            reason = "it needs the server's key, which is kept out of pickles"
        else:
            return where, options
        raise InvalidTypeError(
            f"the collection at {self.address} cannot be pickled: {reason}. Open it in the other process, "
            "QdrantCollection(url, name, encoder)."
        )

    def close(self) -> None:
        """Close the client, unless it was given."""
        if not self._closed and self._own and self._process == os.getpid():
            self.client.close()
        self._closed = True

    async def aclose(self) -> None:
        """Close the clients that were awaited in this event loop, and the other."""
        client = self._awaited.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.close()
        self.close()

    def _client_of_loop(self) -> AsyncQdrantClient:
        """A client of the running event loop: its connections cannot be used in another."""
        loop = asyncio.get_running_loop()
        if loop not in self._awaited:
            options = {**self.client.init_options, "check_compatibility": False}
            self._awaited[loop] = AsyncQdrantClient(**options)
        return self._awaited[loop]

    def _engine(self, request: Request) -> Any:
        """A request to the client's own engine, whose only error is ValueError."""
        with _engines.locks.setdefault(self.client, RLock()):  # it is for one thread at a time
            try:
                return getattr(self.client, request.method)(**request.arguments)
            except ValueError as error:
                kind = StoreConflictError if "already exists" in str(error) else StoreError
                raise kind(f"{self.address} refused {request.method}: {error}") from error

    def _check_open(self) -> None:
        if self._closed:
            raise StoreClosedError(f"the collection at {self.address} was closed: open it again.")
        if self._process != os.getpid():
            self._after_fork()

    def _after_fork(self) -> None:
        options = self.client.init_options
        if options.get("path") is not None:
            raise StoreLockedError(
                f"{self.address} is open in the process that forked this one: one at a time can use the client's own "
                "engine. Open it after the fork, or run a server."
            )
        if not self.local:
            self.client = QdrantClient(**{**options, "check_compatibility": False})
            self._own = True
            self._awaited = WeakKeyDictionary()
        self._process = os.getpid()


def _made(where: str | PathLike[str], options: dict[str, Any]) -> QdrantClient:
    if isinstance(where, str) and where == MEMORY:
        return QdrantClient(MEMORY, force_disable_check_same_thread=True)
    if isinstance(where, str):
        if urlsplit(where).scheme not in ("http", "https") or not urlsplit(where).hostname:
            raise InvalidInputError(
                f"url is {_without_key(where)!r}: 'http://host:6333' or 'https://…' is needed, ':memory:', a "
                "pathlib.Path for a directory of the client's own engine, or a QdrantClient."
            )
        return QdrantClient(url=where, **options)
    if not isinstance(where, PathLike):
        raise InvalidTypeError(
            f"the first argument is of type {type(where).__name__}: a URL, a Path or a QdrantClient is needed."
        )
    try:
        return QdrantClient(path=fspath(where), force_disable_check_same_thread=True)
    except RuntimeError as error:
        raise StoreLockedError(
            f"the directory {fspath(where)!r} is open in another process or client: one at a time can use the "
            "client's own engine. Close the other, or run a server."
        ) from error


def _address(options: dict[str, Any]) -> str:
    """Where the points are, for messages: without key and password."""
    if options.get("location") == MEMORY:
        return "the client's memory"
    if options.get("path") is not None:
        return f"the directory {options['path']!r}"
    given = options.get("url") or options.get("location") or options.get("host") or "localhost"
    address = _without_key(str(given))
    port = options.get("port")
    return address if port is None or re.search(r":\d+", address.rpartition("/")[2]) else f"{address}:{port}"


def _without_key(url: str) -> str:
    """A URL without user, password and query, which may hold a key."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}" if parts.netloc else url.partition("?")[0]


def _whole(timeout: float) -> int:
    seconds = validate.timeout(timeout)
    if seconds == 0:
        raise InvalidInputError("timeout is 0: a request needs seconds, above 0.")
    return -int(-seconds // 1)
