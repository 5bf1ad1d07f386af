"""Questions that wait at the same time are encoded together, those of a small model by threads that keep to one core.

torch shares even a product of a few rows among all cores, and its threads spin while they wait for each other: where
other programs keep the cores busy, one question then takes many times its processor time. It is worth one core. The
number of threads that torch uses belongs to the thread that calls it, so that here it is changed in threads of our
own alone. Whoever is free takes all questions that wait: nobody waits for others to come.

benchmarks/busy.py measures both ways.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Thread

from retrievers.encoder.tokenizing import Features
from retrievers.kernels.fork import Guard, let_torch_run, per_process
from retrievers.kernels.threads import cores
from retrievers.types import TokenMatrix

Encode = Callable[[list[Features]], list[TokenMatrix]]

SMALL = 2e9  # multiplications and additions, some 30 ms of one core: a question of a small model
MOST = 64  # questions that are encoded together


@dataclass(eq=False, slots=True)
class _Asked:
    """The questions of one call, and what becomes of them."""

    features: list[Features]
    answer: Future[list[TokenMatrix]] = field(default_factory=Future)


def encode(encoder: object, encode: Encode, features: list[Features], token_work: float) -> list[TokenMatrix]:
    """The rows of the questions of one call.

    One question, and a few short ones, are encoded with those of other calls that wait for the same encoder. An error
    that the questions of another call cause does not come here, and a call that is interrupted leaves nothing behind.

    Args:
        encoder: calls of the same one are encoded together.
        encode: makes the rows of some questions.
        features: the questions, as tokenizing.Preprocessor makes them.
        token_work: multiplications and additions of a token; infinity where they are not the processor's.
    """
    small = token_work * sum(len(one["input_ids"]) for one in features) <= SMALL
    if not features or (len(features) > 1 and not small):
        return encode(features)
    let_torch_run()  # in this thread, because it may be the only one that a forked child has
    asked, key = _Asked(features), (encoder, small)
    try:
        with _state.lock:
            _state.waiting.setdefault(key, []).append(asked)
        try:
            _executor(small).submit(_serve, key, encode, 1 if small else _threads())
        except RuntimeError:  # the interpreter is ending and starts no more threads
            return encode(features)
        return asked.answer.result()
    finally:
        asked.answer.cancel()  # nobody waits for it any more, if the caller was interrupted; else it is done


def _serve(key: tuple[object, bool], encode: Encode, threads: int) -> None:
    """Encode what waits: this worker's share of it, where other workers are free."""
    import torch

    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
    places = cores() if key[1] else 1
    with _state.lock:
        # A call that was interrupted before it sent for a worker must not take the place of one that did.
        waiting = [one for one in _state.waiting.pop(key, []) if not one.answer.cancelled()]
        free = max(places - _state.working.get(key[1], 0), 1)
        count = min(-(-len(waiting) // free), MOST)
        if len(waiting) > count:
            _state.waiting[key] = waiting[
                count:
            ]  # each call has sent for a worker, so that these are served too
        _state.working[key[1]] = _state.working.get(key[1], 0) + 1
    try:
        _answer([one for one in waiting[:count] if one.answer.set_running_or_notify_cancel()], encode)
    finally:
        with _state.lock:
            _state.working[key[1]] -= 1


def _answer(asked: Sequence[_Asked], encode: Encode) -> None:
    if not asked:
        return
    try:
        rows = iter(encode([one for call in asked for one in call.features]))
        made = [[next(rows) for _ in call.features] for call in asked]
    except BaseException as error:
        if len(asked) == 1:
            asked[0].answer.set_exception(error)
        else:
            for call in asked:  # each by itself: an error belongs to one of them
                _answer([call], encode)
        return
    for call, matrices in zip(asked, made, strict=True):
        call.answer.set_result(matrices)


class _State(Guard):
    """The workers of this process, and the calls that wait for one."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: dict[tuple[object, bool], list[_Asked]] = {}
        self.working: dict[bool, int] = {}  # workers that encode, by whether they keep to one core
        self.pools: dict[bool, ThreadPoolExecutor] = {}


_state = per_process(_State)


def _executor(small: bool) -> ThreadPoolExecutor:
    with _state.lock:
        if small not in _state.pools:
            name = "retrievers-question"
            _state.pools[small] = (
                ThreadPoolExecutor(cores(), name, initializer=_keep_to_one_core)
                if small
                else ThreadPoolExecutor(1, name)
            )
        return _state.pools[small]


def _keep_to_one_core() -> None:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    # This thread has its number. torch also takes it for threads that begin later, until another is set, wherever.
    other = Thread(target=torch.set_num_threads, args=(before,))
    other.start()
    other.join()


def _threads() -> int:
    """How many threads the caller lets torch use."""
    import torch

    return torch.get_num_threads()
