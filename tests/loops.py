"""Event loops under watch: who runs in their thread, and how late they are."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from retrievers import Collection
from retrievers.testing import HashingEncoder


def refuse_on_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise AssertionError("this ran in the thread of the event loop, and blocks it")


class OffLoop:
    """A collection whose every call fails where an event loop runs."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._collection, name)
        if not callable(value):
            return value

        def call(*args: Any, **kwargs: Any) -> Any:
            refuse_on_loop()
            return value(*args, **kwargs)

        return call


class SlowEncoder(HashingEncoder):
    """As slow as a model, and like one without the interpreter's lock meanwhile."""

    def encode_queries(self, texts):
        time.sleep(0.02)
        return super().encode_queries(texts)


@asynccontextmanager
async def ticking() -> AsyncIterator[list[float]]:
    """Seconds by which each of the loop's short sleeps was too long while the block ran."""
    latencies: list[float] = []

    async def tick() -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.001)
            latencies.append(time.perf_counter() - before - 0.001)

    ticker = asyncio.create_task(tick())
    await asyncio.sleep(0)
    try:
        yield latencies
    finally:
        ticker.cancel()
