"""Work that is the same for a client that waits and for one that is awaited: generators that yield requests.

A function of this package that talks to the server is a generator. It yields Requests and what must not block an
event loop (Compute), is sent the answers, and returns its result. run and arun carry it out; nothing else knows
which of the two clients answers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Request:
    """One call of the client. Each that this package makes may be repeated: a second one changes nothing more.

    Attributes:
        method: a method of QdrantClient.
        arguments: its keyword arguments.
    """

    method: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Compute:
    """Work of the processor, the encoder's say, that an event loop has to leave to a thread."""

    work: Callable[[], Any]


Step: TypeAlias = Request | Compute
Steps: TypeAlias = Generator[Step, Any, Result]


def run(steps: Steps[Result], answer: Callable[[Step], Any]) -> Result:
    """Carry steps out one after the other; an error of a step is raised where the step was yielded."""
    try:
        step = next(steps)
        while True:
            try:
                given = answer(step)
            except BaseException as error:
                step = steps.throw(error)
            else:
                step = steps.send(given)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    finally:
        steps.close()


async def arun(steps: Steps[Result], answer: Callable[[Step], Awaitable[Any]]) -> Result:
    """As run, for answers that are awaited."""
    try:
        step = next(steps)
        while True:
            try:
                given = await answer(step)
            except BaseException as error:
                step = steps.throw(error)
            else:
                step = steps.send(given)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    finally:
        steps.close()
