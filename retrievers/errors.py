"""The exception tree: each error is a RetrieversError and the built-in that a caller would catch."""

from __future__ import annotations


class RetrieversError(Exception):
    """Base of every error that this library raises on purpose.

    Attributes:
        added: how many documents of an iterator were stored before the one that the error is about; 0 where nothing
            was changed.
    """

    added: int = 0


class InvalidInputError(RetrieversError, ValueError):
    """An argument has a value that cannot be used; nothing was changed, save what `added` counts."""


class InvalidTypeError(RetrieversError, TypeError):
    """An argument has a type that cannot be used; nothing was changed, save what `added` counts."""


class UnknownOptionError(InvalidTypeError, InvalidInputError):
    """A call has a keyword that it does not take; nothing was changed."""


class UnsupportedError(RetrieversError, NotImplementedError):
    """What was asked for cannot be had here; the message says why, and what can."""


class NoWordsError(InvalidInputError):
    """A search asks for words, and the collection has no index of them; the message names the call that builds it."""


class FilterError(InvalidInputError):
    """A filter names an unknown operator, or gives it a value of the wrong type."""


class ShapeError(RetrieversError, ValueError):
    """A matrix has the wrong number of dimensions, or another width than its partner."""


class ModelNotFoundError(RetrieversError, OSError):
    """The weights of a model cannot be had: no network, no such name, or no such directory."""


class DamagedModelError(ModelNotFoundError):
    """A model's files are incomplete, unreadable or contradict each other; nothing was loaded."""


class MissingExtraError(RetrieversError, ImportError):
    """An optional dependency is not installed; the message has the command that installs it."""


class ModelMismatchError(RetrieversError, ValueError):
    """A collection was written by another encoder than the one it is opened with."""


class StoreError(RetrieversError, OSError):
    """A collection's files cannot be read or written."""


class StoreLockedError(StoreError, TimeoutError):
    """Another process is writing to the collection and did not finish within the timeout."""


class StoreClosedError(StoreError):
    """The collection was used after close()."""


class StoreReplacedError(StoreError):
    """The directory that was opened was removed, or another collection took its place: open it again."""


class CorruptStoreError(StoreError):
    """A file of the collection is truncated, damaged or not ours."""


class FormatVersionError(StoreError):
    """The collection was written in a format that this version does not read."""


class DeviceMemoryError(RetrieversError, MemoryError):
    """The token rows do not fit in the memory that a device may use."""


class StoreUnavailableError(StoreError, ConnectionError):
    """A server cannot be reached, or asks to be left alone for a while."""


class StoreTimeoutError(StoreError, TimeoutError):
    """A server did not answer in time; what was sent to it may be stored."""


class StoreAccessError(StoreError, PermissionError):
    """A server does not let this key read or write the collection."""


class StoreConflictError(StoreError):
    """Another process changed the same thing meanwhile, and its change stands."""
