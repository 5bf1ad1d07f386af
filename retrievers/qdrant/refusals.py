"""What a server, a network or the client's own engine refuses, as errors of this library.

Messages name the address and what to do; no key and no password is ever part of one.
"""

from __future__ import annotations

from typing import Any

import grpc
import httpx
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from retrievers.errors import (
    RetrieversError,
    StoreAccessError,
    StoreConflictError,
    StoreError,
    StoreTimeoutError,
    StoreUnavailableError,
)

FOREIGN = (UnexpectedResponse, ResponseHandlingException, ResourceExhaustedResponse, grpc.RpcError)
"""What the client raises for a request that failed."""

PASSING = (429, 500, 502, 503, 504)  # statuses after which the same request may succeed
LONGEST_PAUSE = 30.0  # seconds that a server's Retry-After is followed for

STATUS_OF_CODE = {
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.INTERNAL: 500,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
}


def passing(error: Exception) -> bool:
    """Whether the same request may succeed if it is made again."""
    if isinstance(error, ResponseHandlingException):
        return isinstance(error.source, httpx.TransportError)
    return _status(error) in PASSING


def pause_after(error: Exception, attempt: int) -> float:
    """Seconds to wait before the next try: a quarter, one, four; or what the server asks for, up to half a minute."""
    asked = float(error.retry_after_s) if isinstance(error, ResourceExhaustedResponse) else 0.0
    pause: float = min(max(asked, 0.25 * 4**attempt), LONGEST_PAUSE)
    return pause


def refusal(error: Exception, address: str, method: str) -> RetrieversError:
    """The error of this library for one of the client's."""
    if isinstance(error, ResponseHandlingException):
        return _broken(error.source, address, method)
    status = _status(error)
    said = f"{address} answered {method} with {status}: {_said(error)}"
    if status in (401, 403):
        return StoreAccessError(f"{said} Give an api_key that may read and write this collection.")
    if status == 404:
        return StoreError(f"{said} The collection or its address is not there: check url and name.")
    if status == 409:
        return StoreConflictError(f"{said} Another process was there first: try again.")
    if status == 413:
        return StoreError(
            f"{said} The request is too large for it: raise its max_request_size_mb, or add less text."
        )
    if status == 504:
        return StoreTimeoutError(f"{said} It took too long: raise timeout, or try again later.")
    if status in PASSING:
        return StoreUnavailableError(
            f"{said} What was acknowledged is stored; try again later, adding completes what is missing."
        )
    return StoreError(f"{said} The request was refused; nothing of it was stored.")


def _broken(source: Exception, address: str, method: str) -> RetrieversError:
    """No answer, or one that cannot be read."""
    reason = f"{type(source).__name__}" + (f" ({source})" if str(source) else "")
    if isinstance(source, httpx.TimeoutException):
        return StoreTimeoutError(
            f"{address} did not answer {method} in time ({reason}). What was sent may be stored; raise timeout, or "
            "try again: adding completes what is missing and stores nothing twice."
        )
    if isinstance(source, httpx.TransportError):
        return StoreUnavailableError(
            f"{address} cannot be reached for {method}: {reason}. What was acknowledged is stored; check that the "
            "server runs, then try again."
        )
    return StoreError(f"{address} gave an answer to {method} that is not Qdrant's: {reason}. Check url.")


def _status(error: Exception) -> int:
    if isinstance(error, UnexpectedResponse):
        return error.status_code or 0
    if isinstance(error, ResourceExhaustedResponse):
        return 429
    code: Any = getattr(error, "code", lambda: None)()
    return STATUS_OF_CODE.get(code, 0)


def _said(error: Exception) -> str:
    """What the server gave as its reason, cut short."""
    if isinstance(error, UnexpectedResponse):
        text = bytes(error.content or b"").decode(errors="replace")
    elif isinstance(error, grpc.RpcError):
        text = str(getattr(error, "details", lambda: "")() or "")
    else:
        text = str(error)
    text = " ".join(text.split())
    return f"{text[:200]}…" if len(text) > 200 else f"{text or 'no reason given'}."
