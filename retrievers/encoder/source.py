"""Two values that travel through the loading of a model: where it comes from, and how it runs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Source:
    """Where a model comes from.

    Attributes:
        name: of a directory, of a repository on the model hub, or of an offline model.
        revision: branch, tag or commit on the hub; None for its main branch.
        token: authentication on the hub; True takes the one that `hf auth login` stored, False none.
        cache_folder: where downloads are kept; None for SENTENCE_TRANSFORMERS_HOME, else the hub's own cache.
        local_files_only: never ask the hub.
        trust_remote_code: run code that comes with the checkpoint.
    """

    name: str
    revision: str | None = None
    token: str | bool | None = field(default=None, repr=False)
    cache_folder: str | None = None
    local_files_only: bool = False
    trust_remote_code: bool = False

    @property
    def cache(self) -> Path:
        """The directory that downloads go to."""
        from huggingface_hub import constants

        chosen = self.cache_folder or os.getenv("SENTENCE_TRANSFORMERS_HOME") or constants.HF_HUB_CACHE
        return Path(chosen).expanduser().resolve()

    @property
    def is_path(self) -> bool:
        """Whether the name can only be a directory: a hub's name has at most one slash, and no leading dot."""
        return (
            self.name.startswith((".", "~", "/", "\\"))
            or self.name.count("/") > 1
            or self.name.endswith("/")
            or "\\" in self.name
            or Path(self.name).is_absolute()
        )


@dataclass(frozen=True)
class Runtime:
    """How a model runs.

    Attributes:
        device: as torch names it; None takes a GPU if there is one.
        backend: "torch", "onnx" or "openvino".
        prompts: in place of the checkpoint's: {"query": …, "document": …}.
        model_kwargs, processor_kwargs, config_kwargs: for transformers' model, tokenizer and configuration.
    """

    device: str | None = None
    backend: str = "torch"
    prompts: Mapping[str, str] | None = None
    model_kwargs: Mapping[str, Any] | None = None
    processor_kwargs: Mapping[str, Any] | None = None
    config_kwargs: Mapping[str, Any] | None = None
