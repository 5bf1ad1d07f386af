"""What a store counts beside the rows, built anew for all documents: their words, and their tokens.

Both are made under the writer's lock, in one transaction, as the changes in `writes` are.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from retrievers.errors import InvalidInputError
from retrievers.store import words
from retrievers.store.connection import Connection
from retrievers.store.schema import State, write_state
from retrievers.store.snapshot import load_columns
from retrievers.store.token_counts import TokenCounts
from retrievers.store.writes import Change


def count_tokens(change: Change, token_ids: Mapping[str, Collection[int]]) -> None:
    """Count the tokens of all documents anew, and from now on."""
    change.commit(_count_tokens, change.state, token_ids)


def _count_tokens(connection: Connection, state: State, token_ids: Mapping[str, Collection[int]]) -> None:
    keys = {str(name): key for key, name in connection.rows("SELECT key, id FROM documents")}
    if keys.keys() != token_ids.keys():
        raise InvalidInputError(
            f"tokens of {len(token_ids)} documents were given where {len(keys)} are stored: nothing was changed."
        )
    counts = TokenCounts(connection)
    counts.begin()
    for name, key in keys.items():
        counts.put(key, name, token_ids[name])
    counts.finish()
    write_state(connection, replace(state, version=state.version + 1))


def index_words(change: Change, tokenizer: str | None, weight: float | None) -> None:
    """Index the words of all documents, in place of an index that is there."""
    change.commit(_index_words, change.state, tokenizer, weight)


def _index_words(connection: Connection, state: State, tokenizer: str | None, weight: float | None) -> None:
    words.build(connection, load_columns(connection, state), tokenizer, weight)
    write_state(connection, replace(state, version=state.version + 1))


def open_words(change: Change, tokenizer: str, weight: float | None) -> None:
    """Index the words where no index is there; give one that is there the weight, if there is one.

    Raises:
        InvalidInputError: the index that is there has another tokenizer.
    """
    found = change.catalog.reading().during(words.read)
    if found is None:
        index_words(change, tokenizer, weight)
    elif found.tokenizer != tokenizer:
        raise InvalidInputError(
            f"the index of words has the tokenizer {found.tokenizer!r}, and words is {tokenizer!r}: leave words out, "
            f"or build the index anew, collection.index_words({tokenizer!r})."
        )
    elif weight not in (None, found.weight):
        change.commit(_set_weight, change.state, weight)


def _set_weight(connection: Connection, state: State, weight: float) -> None:
    words.set_weight(connection, weight)
    write_state(connection, replace(state, version=state.version + 1))
