"""The options by which every command that loads a model is told which one, from where, and how it runs."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from retrievers.cli.terminal import Parser

if TYPE_CHECKING:
    from retrievers.encoder import LateInteractionEncoder

DEFAULT_MODEL = "LiquidAI/LFM2-ColBERT-350M"
ALL = ("model", "revision", "token", "offline", "device", "precision")
WITHOUT_NAME = ("token", "offline", "device", "precision")


def declare(
    command: Parser, names: Sequence[str] = ALL, *, model: str | None = None, several: bool = False
) -> None:
    """Add options that choose a model.

    Args:
        command: the parser of a command.
        names: which of ALL; WITHOUT_NAME for a command whose argument is the model.
        model: what `--help` says of `--model`.
        several: whether `--model` may stand several times; it is a list then.
    """
    group = command.add_argument_group("the model")
    declared: dict[str, dict[str, Any]] = {
        "model": {"metavar": "NAME", "help": model, "action": "append" if several else "store"},
        "revision": {"metavar": "REVISION", "help": "branch, tag or commit of the model on the hub"},
        "token": {
            "metavar": "VARIABLE",
            "type": _token,
            "help": "the environment variable that holds the token for private and gated models (default: HF_TOKEN, "
            "else the token that `hf auth login` stored)",
        },
        "offline": {"action": "store_true", "help": "use what is cached, and never ask the hub"},
        "device": {
            "metavar": "DEVICE",
            "help": "where the model runs, as torch names it (default: a GPU if there is one)",
        },
        "precision": {
            "choices": ("float32", "bfloat16", "float16"),
            "help": "number format of the model's multiplications (default: by the hardware)",
        },
    }
    for name in names:
        group.add_argument(f"--{name}", **declared[name])


def given(options: argparse.Namespace) -> dict[str, Any]:
    """The options that were given, as keywords of LateInteractionEncoder; the name of the model is not one of them."""
    chosen = {name: getattr(options, name, None) for name in ("revision", "token", "device", "precision")}
    if getattr(options, "offline", False):
        chosen["local_files_only"] = True
    return {name: value for name, value in chosen.items() if value is not None}


def load(name: str, options: argparse.Namespace) -> LateInteractionEncoder:
    """Load a model with the options that were given.

    Raises:
        ModelNotFoundError, InvalidInputError, MissingExtraError, DeviceMemoryError: see LateInteractionEncoder.
    """
    from retrievers.encoder import LateInteractionEncoder

    return LateInteractionEncoder(name, **given(options))


def _token(variable: str) -> str:
    """The token that an environment variable holds.

    The message does not repeat what was typed, because that may be a token.
    """
    token = os.environ.get(variable, "").strip()
    if not token:
        raise argparse.ArgumentTypeError(
            "it takes the name of an environment variable, and no variable of that name holds a token. A token itself "
            "is not given on a command line, where other users and the shell's history can read it."
        )
    return token
