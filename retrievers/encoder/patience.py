"""Asking again: a hub that is overloaded for a moment does not make a first fetch fail."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any, TypeVar

Answer = TypeVar("Answer")

PAUSES = (1.0, 2.0, 4.0)
"""Seconds between the attempts."""
LONGEST = 30.0
"""Seconds that the hub may ask for; with more, the error says so at once."""
TEMPORARY = (408, 429, 500, 502, 503, 504)


def patiently(ask: Callable[[], Answer], wait: Callable[[float], None] = time.sleep) -> Answer:
    """Ask, and ask again while the hub limits how often it may be asked, or has failed itself.

    huggingface_hub does so for files, and not for the description of a repository.

    Args:
        ask: a request; it is made once more than there are PAUSES at most.
        wait: lets so many seconds pass.
    Raises:
        Exception: what the last request raised; what another attempt would not mend is raised at once.
    """
    for pause in PAUSES:
        try:
            return ask()
        except Exception as error:
            response: Any = getattr(error, "response", None)
            if getattr(response, "status_code", None) not in TEMPORARY:
                raise
            asked = _asked(response)
            if asked > LONGEST:
                raise
        wait(max(pause, asked))
    return ask()


def _asked(response: Any) -> float:
    """Seconds that the hub asks to wait for; 0 where it names none."""
    headers = response.headers
    value = str(headers.get("Retry-After", ""))
    limit = re.search(r"\bt=(\d{1,9})\b", str(headers.get("RateLimit", "")))  # '"api";r=0;t=55'
    if not re.fullmatch(r"[0-9]{1,9}", value):
        value = limit[1] if limit and response.status_code == 429 else "0"
    return float(value)
