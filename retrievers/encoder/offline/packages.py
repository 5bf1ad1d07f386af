"""What the offline models share: a model that is built from an installed Python package, and checks of that package."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from retrievers.errors import MissingExtraError, ModelNotFoundError

if TYPE_CHECKING:
    from retrievers.encoder.bert import BertStack


@dataclass(frozen=True)
class OfflineModel:
    """A model that was built without a hub.

    Attributes:
        model: its modules, in the number format of the weights, on the processor.
        weights: sha256 of the weights, hexadecimal; part of the encoder's fingerprint.
        mean_weight, query_weights: of LateInteractionEncoder, unless the user says otherwise.
    """

    model: BertStack
    weights: str
    mean_weight: float = 0.0
    query_weights: tuple[str, ...] = ()


def package_directory(package: str, *, model: str, extra: str) -> Path:
    """Directory of an installed package that carries a model.

    Raises:
        MissingExtraError: it is not installed; the message has the command that installs it.
    """
    try:
        module = import_module(package)
    except ImportError as error:
        raise MissingExtraError(
            f"The model '{model}' comes with the package '{package.replace('_', '-')}', which is not installed. "
            f'Install it: pip install "maxsim-retrievers[{extra}]"'
        ) from error
    return Path(str(module.__file__)).parent


def checked_sha256(path: Path, expected: str) -> str:
    """The file's sha256, hexadecimal, if it is the expected one.

    Raises:
        ModelNotFoundError: it is another.
    """
    with path.open("rb") as file:
        seen = hashlib.file_digest(file, "sha256").hexdigest()
    if seen != expected:
        raise ModelNotFoundError(
            f"The weights in {path} have sha256 {seen}; {expected} was tested. "
            "Install the package again, in the version that this one asks for."
        )
    return seen
