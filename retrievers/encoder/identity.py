"""Whether two fingerprints are of one model: what a collection keeps of its encoder, compared in words.

A fingerprint has two digests. That of the documents covers everything that shapes their rows, and must be the stored
one. That of the questions covers what shapes theirs alone: it is recorded and shown, and never a refusal, for rows of
questions are not stored. Where the model came from, its name and its commit inform.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from retrievers.display import printable
from retrievers.errors import ModelMismatchError

VERSION = 2
"""Of the shape of a fingerprint. The first had no digests: its keys are FIRST_KEYS."""

FIRST_KEYS = frozenset(
    ("model", "weights", "dim", "document_length", "query_length", "query_width", "prompts", "token_pooling")
)

# Parts of the documents' digest, in words.
WORDS = {
    "weights": "the weights are others",
    "tokenizer": "the tokenizer is another",
    "configuration": "the configuration of the model or of one of its modules (such as a dense layer) is another",
    "skiplist": "the skiplist, the tokens that get no row, is another",
    "code": "the code that comes with the checkpoint is another",
    "options": "model_kwargs, processor_kwargs or config_kwargs are others",
    "white_space": "white space around a text is treated otherwise",
}
VALUES = {
    "prompt": "the prompt of documents",
    "length": "document_length",
    "pooling": "token_pooling",
    "mean_weight": "mean_weight, how much of its window's mean each row has,",
    "other_code": "the commit of code from another repository (model_kwargs={'code_revision': …} chooses one)",
    "dim": "the number of dimensions",
}

# Parts of either digest that are digests themselves; the rest are values.
DIGESTED = ("weights", "tokenizer", "configuration", "skiplist", "code", "options")
SHOWN = 12  # digits of a digest that are enough to tell two models apart


IMPORTED = "imported"
"""Key of a fingerprint that came from a file or a server: the user owns the directory but not what it says."""


def imported(fingerprint: Mapping[str, Any]) -> dict[str, Any]:
    """The fingerprint of a collection that is copied from somewhere, by which no directory is loaded or read."""
    return {**fingerprint, IMPORTED: True} if _is_ours(fingerprint) else dict(fingerprint)


def digest(parts: Mapping[str, Any]) -> str:
    """sha256 of JSON values, hexadecimal, whatever the order of their keys."""
    return hashlib.sha256(canonical(parts).encode()).hexdigest()


def canonical(value: Any) -> str:
    """JSON in one spelling."""
    return json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"), default=repr)


def compare(stored: Mapping[str, Any], given: Mapping[str, Any]) -> list[str] | None:
    """How the model of a collection and a given one differ, as far as stored rows are concerned.

    Args:
        stored: fingerprint that the collection keeps; of this version, of the first, or of a user's own encoder.
        given: fingerprint of the encoder that it is opened with.
    Returns:
        None where rows of the two may be searched together, else what differs, each a clause in words.
    """
    if _is_ours(stored) and _is_ours(given):
        return _compare_parts(
            {**stored["documents"], "dim": stored["dim"]}, {**given["documents"], "dim": given["dim"]}
        )
    if stored.keys() >= FIRST_KEYS and _is_ours(given):
        return _compare_parts(_first_parts(stored), _given_first_parts(given))
    if canonical(stored) == canonical(given):
        return None
    keys = sorted(key for key in {*stored, *given} if canonical(stored.get(key)) != canonical(given.get(key)))
    return [f"{key} {stored.get(key)!r} became {given.get(key)!r}" for key in keys]


def check(
    stored: Mapping[str, Any], given: Mapping[str, Any], place: str, advice: str = "build a new collection"
) -> None:
    """Refuse another encoder than the one that wrote a collection.

    Args:
        stored, given: as in compare.
        place: of the collection, for the message.
        advice: what to do instead of opening it with the former encoder.
    Raises:
        ModelMismatchError: the two encoders give documents other rows.
    """
    differing = compare(stored, given)
    if differing is None:
        return
    former = "the former"
    if _is_ours(stored) and any(VALUES["mean_weight"] in clause for clause in differing):
        # Both have one name, perhaps: the option tells them apart.
        mean_weight = stored["documents"].get("mean_weight", 0)
        former += f", LateInteractionEncoder({stored['model']!r}, mean_weight={mean_weight:g})"
    raise ModelMismatchError(
        f"{place} was encoded by {described(stored)} ({stored.get('dim')} dimensions); you opened it with "
        f"{described(given)} ({given.get('dim')}): {'; '.join(differing)}. Open it with {former}, or {advice}."
    )


def described(fingerprint: Mapping[str, Any]) -> str:
    """A model for a message: its name, and its commit where it has one."""
    origin = fingerprint.get("origin")
    commit = origin.get("commit") if isinstance(origin, Mapping) else None
    return f"{fingerprint.get('model')!r}" + (f" at commit {commit}" if commit else "")


def where_from(fingerprint: Mapping[str, Any]) -> str | None:
    """Where a model came from: "hub", "directory" or "package"; None where the fingerprint does not say."""
    return _text(fingerprint.get("origin"), "kind")


def commit_of(fingerprint: Mapping[str, Any]) -> str | None:
    """The commit of a model from a hub; None for any other."""
    return _text(fingerprint.get("origin"), "commit")


def digest_of(fingerprint: Mapping[str, Any], part: str) -> str | None:
    """The digest of "documents" or of "questions"; None where the fingerprint has none."""
    return _text(fingerprint.get(part), "digest")


def in_words(fingerprint: Mapping[str, Any], part: str) -> str | None:
    """What the digest of "documents" or of "questions" is made of; None where the fingerprint does not say.

    A fingerprint of the first shape says less, and has no digest.
    """
    if is_first(fingerprint):
        documents = part == "documents"
        prompts = fingerprint["prompts"]
        name = "document" if documents else "query"
        parts = {"prompt": prompts.get(name) if isinstance(prompts, Mapping) else prompts}
        parts["length"] = fingerprint["document_length" if documents else "query_width"]
        if documents:
            parts |= {"pooling": fingerprint["token_pooling"], "weights": fingerprint["weights"]}
    elif _is_ours(fingerprint) and isinstance(fingerprint.get(part), Mapping):
        parts = {key: value for key, value in fingerprint[part].items() if key != "digest"}
    else:
        return None
    # A stranger may have written it.
    return printable("; ".join(_clause(key, value) for key, value in parts.items()))


def is_first(fingerprint: Mapping[str, Any]) -> bool:
    """Whether a fingerprint is of the first shape: of a LateInteractionEncoder, without digests."""
    return fingerprint.keys() >= FIRST_KEYS and not _is_ours(fingerprint)


def _is_ours(fingerprint: Mapping[str, Any]) -> bool:
    return isinstance(fingerprint.get("documents"), Mapping) and isinstance(fingerprint.get("identity"), int)


def _text(part: Any, key: str) -> str | None:
    value = part.get(key) if isinstance(part, Mapping) else None
    return value if isinstance(value, str) else None


def _clause(key: str, value: Any) -> str:
    name = key.replace("_", " ")
    if key in DIGESTED and isinstance(value, str):
        return f"{name} {value[:SHOWN]}"
    if key == "pooling":
        return "every row is kept" if value is None else f"about one row in {canonical(value)} is kept"
    if key == "expansion":
        return "questions are not expanded" if value is None else f"expanded as {canonical(value)}"
    if key == "mean_weight":
        return f"mixed with {canonical(value)} of the mean of all rows"
    if key == "weights" and isinstance(value, list):
        return "weighted by " + " and ".join(str(one) for one in value)
    if key == "length":
        return f"length {canonical(value)} tokens"
    if isinstance(value, str) and key != "prompt" and value.isidentifier():
        return f"{name} {value}"
    return f"{name} {value!r}" if isinstance(value, str) else f"{name} {canonical(value)}"


def _compare_parts(stored: Mapping[str, Any], given: Mapping[str, Any]) -> list[str] | None:
    differing = []
    for key in sorted({*stored, *given} - {"digest"}):
        before, after = stored.get(key), given.get(key)
        if canonical(before) != canonical(after):
            if key in VALUES:
                before, after = (
                    0 if key == "mean_weight" and one is None else one for one in (before, after)
                )
                differing.append(f"{VALUES[key]} {before!r} became {after!r}")
            else:
                differing.append(WORDS.get(key, f"{key} is another"))
    return differing or None


def _first_parts(stored: Mapping[str, Any]) -> dict[str, Any]:
    prompts = stored["prompts"]
    return {
        "weights": stored["weights"],
        "length": stored["document_length"],
        "prompt": prompts.get("document") if isinstance(prompts, Mapping) else prompts,
        "pooling": stored["token_pooling"],
        "dim": stored["dim"],
    }


def _given_first_parts(given: Mapping[str, Any]) -> dict[str, Any]:
    parts = given["documents"]
    return {
        "weights": given.get("first_weights"),
        "length": parts.get("length"),
        "prompt": parts.get("prompt"),
        "pooling": parts.get("pooling"),
        "dim": given["dim"],
        **({"mean_weight": parts["mean_weight"]} if "mean_weight" in parts else {}),
    }
