"""The status codes of gRPC.

https://grpc.io/docs/guides/status-codes/
"""

from __future__ import annotations

_GRPC_CODES = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
]


def grpc_code(status: str) -> int | None:
    """The number of a gRPC status, given by name or number; None when there is no such status."""
    if status.isdecimal() and status.isascii() and len(status) < 3:
        return int(status) if int(status) < len(_GRPC_CODES) else None
    return _GRPC_CODES.index(status) if status in _GRPC_CODES else None
