"""Failures of an API request, as Kubernetes words them.

Whatever lies below the HTTP surface raises `ApiError`; the surface turns it into a `Status` object. Reasons and codes
follow https://kubernetes.io/docs/reference/generated/kubernetes-api/v1.33/#status-v1-meta.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Cause:
    """One thing wrong with one field: `field` is its path (`spec.containers[0].image`)."""

    field: str
    message: str
    reason: str = "FieldValueInvalid"


class ApiError(Exception):
    """A request that fails with an HTTP status `code` and a machine-readable `reason`."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        causes: tuple[Cause, ...] = (),
        details: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.causes = causes
        self.details = details or {}

    @property
    def namespace_terminating(self) -> bool:
        """Whether the request failed because its namespace is being deleted."""
        return any(cause.reason == "NamespaceTerminating" for cause in self.causes)

    def status(self) -> dict[str, Any]:
        """The `Status` object that a client receives."""
        details = dict(self.details)
        if self.causes:
            details["causes"] = [{"reason": c.reason, "message": c.message, "field": c.field} for c in self.causes]
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
            **({"details": details} if details else {}),
        }


def not_found(plural: str, name: str, group: str = "") -> ApiError:
    """404: no such object. `plural` is the resource's name, as in `pods`."""
    full = f"{plural}.{group}" if group else plural
    return ApiError(
        404, "NotFound", f'{full} "{name}" not found', details={"name": name, "group": group, "kind": plural}
    )


def already_exists(plural: str, name: str, group: str = "") -> ApiError:
    """409: an object of that name exists."""
    full = f"{plural}.{group}" if group else plural
    return ApiError(
        409, "AlreadyExists", f'{full} "{name}" already exists', details={"name": name, "group": group, "kind": plural}
    )


def conflict(plural: str, name: str, why: str, group: str = "") -> ApiError:
    """409: the object changed since the caller read it."""
    full = f"{plural}.{group}" if group else plural
    return ApiError(
        409,
        "Conflict",
        f'Operation cannot be fulfilled on {full} "{name}": {why}',
        details={"name": name, "group": group, "kind": plural},
    )


def invalid(kind: str, name: str, causes: tuple[Cause, ...], group: str = "") -> ApiError:
    """422: the object does not fit its schema or a rule; each cause names a field."""
    full = f"{kind}.{group}" if group else kind
    words = [f"{c.field}: {c.message}" if c.field else c.message for c in causes]
    text = words[0] if len(words) == 1 else "[" + ", ".join(words) + "]"
    return ApiError(
        422,
        "Invalid",
        f'{full} "{name}" is invalid: {text}',
        causes=causes,
        details={"name": name, "group": group, "kind": kind},
    )


def bad_request(message: str) -> ApiError:
    """400: the request itself cannot be understood."""
    return ApiError(400, "BadRequest", message)


def unauthorized() -> ApiError:
    """401: the caller did not prove who it is."""
    return ApiError(401, "Unauthorized", "Unauthorized")


def forbidden(message: str) -> ApiError:
    """403: the caller is known and may not do this."""
    return ApiError(403, "Forbidden", message)


def gone(message: str) -> ApiError:
    """410: the requested resource version is older than what is kept; the client lists again."""
    return ApiError(410, "Expired", message)


def internal(message: str) -> ApiError:
    """500: something that the caller did not cause."""
    return ApiError(500, "InternalError", message)
