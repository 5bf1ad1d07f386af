"""Which offline models there are. Their packages are imported when one is loaded."""

from __future__ import annotations

from collections.abc import Callable

from retrievers.encoder.offline.minilm import minilm
from retrievers.encoder.offline.multilingual import multilingual
from retrievers.encoder.offline.packages import OfflineModel

OFFLINE: dict[str, Callable[[], OfflineModel]] = {
    "offline/minilm": minilm,
    "offline/multilingual": multilingual,
}
"""Name that LateInteractionEncoder takes → what builds the model."""
