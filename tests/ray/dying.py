"""An encoder whose process dies once, when it meets a certain word: Ray's workers import it from here."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Iterator
from pathlib import Path

from retrievers.testing import HashingEncoder
from retrievers.types import TokenMatrix

POISON = "poison"


class DyingEncoder(HashingEncoder):
    """Encodes as HashingEncoder does; the first process that meets POISON is killed.

    Args:
        mark: a file that is made before the process dies, so that the next one lives.
    """

    def __init__(self, mark: str, document_length: int = 8) -> None:
        super().__init__(document_length=document_length)
        self.mark = mark

    def __reduce__(self):
        return type(self), (self.mark, self.document_length)

    def encode_documents(self, texts: Iterable[str]) -> Iterator[TokenMatrix]:
        for text in texts:
            if POISON in text and not Path(self.mark).exists():
                Path(self.mark).touch()
                os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))  # Windows has one of them
            yield from super().encode_documents([text])
