"""What comes with a write: its user, and the options of the Kubernetes API."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from mesh_lab.kube.changes import Object
from mesh_lab.kube.errors import Cause, invalid
from mesh_lab.kube.resources import Resource


@dataclass(frozen=True)
class User:
    """The user of a request, as in Kubernetes' `UserInfo`."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


SYSTEM = User("system:mesh-lab", ("system:masters", "system:authenticated"))


MOST_WARNINGS = 100


class FieldValidation(StrEnum):
    """What becomes of fields that the schema does not know, and of those that are there twice.

    The first are never stored, of the second the last counts: with an error, a warning, or nothing.
    """

    STRICT = "Strict"
    WARN = "Warn"
    IGNORE = "Ignore"


@dataclass(frozen=True)
class View:
    """How a subresource shows a part of an object as an object of another kind, and writes it back."""

    show: Callable[[Object], Object]
    merge: Callable[[Object, Object], Object]


@dataclass(frozen=True)
class WriteOptions:
    """Options of a create, update or patch. What deserves a warning is appended to `warnings`, when that is a list.

    `repeated` are the paths of fields that the body has more than once. `written_through` is a subresource that stands
    for a part of the object, as `scale` does: what is owned names it, and admission sees the object through `view`.
    Writers inside the lab are held to `Strict`: a field that the schema does not know is a mistake of ours.
    """

    user: User = SYSTEM
    dry_run: bool = False
    field_validation: FieldValidation = FieldValidation.STRICT
    repeated: tuple[str, ...] = ()
    field_manager: str = ""
    written_through: str = ""
    view: View | None = None
    force: bool = False
    warnings: list[str] | None = None

    def document(self, operation: Operation) -> dict[str, Any]:
        """As the `CreateOptions` or `UpdateOptions` that a webhook is shown."""
        given = {
            "dryRun": ["All"] if self.dry_run else None,
            "fieldManager": self.field_manager or None,
            "fieldValidation": str(self.field_validation),
        }
        return _options(f"{operation.capitalize()}Options", given)

    def warn(self, text: str) -> None:
        """Warn the client, once. Warnings beyond `MOST_WARNINGS` are dropped: headers would not hold them."""
        if self.warnings is not None and len(self.warnings) < MOST_WARNINGS and text not in self.warnings:
            self.warnings.append(text)


class Propagation(StrEnum):
    """What becomes of an object's dependents when it is deleted."""

    BACKGROUND = "Background"
    FOREGROUND = "Foreground"
    ORPHAN = "Orphan"


@dataclass(frozen=True)
class DeleteOptions:
    """Options of a delete.

    `grace_period` is in seconds, None leaves it to the object; `uid` and `resource_version` are preconditions.
    `admitted`: webhooks are not called, for what this is a part of has been admitted.
    """

    user: User = SYSTEM
    dry_run: bool = False
    grace_period: int | None = None
    propagation: Propagation | None = None
    uid: str = ""
    resource_version: str = ""
    admitted: bool = False

    def document(self, operation: Operation) -> dict[str, Any]:  # noqa: ARG002 - as for other options
        """As the `DeleteOptions` that a webhook is shown."""
        preconditions = {"uid": self.uid or None, "resourceVersion": self.resource_version or None}
        given = {
            "dryRun": ["All"] if self.dry_run else None,
            "gracePeriodSeconds": self.grace_period,
            "propagationPolicy": None if self.propagation is None else str(self.propagation),
            "preconditions": {key: value for key, value in preconditions.items() if value} or None,
        }
        return _options("DeleteOptions", given)

    @classmethod
    def parse(cls, body: Mapping[str, Any], user: User) -> DeleteOptions:
        """The options in a `DeleteOptions` object, which fits its schema.

        Raises:
            ApiError: 422, an option has a value that it cannot have.
        """
        grace = body.get("gracePeriodSeconds")
        preconditions = body.get("preconditions") or {}
        policy = body.get("propagationPolicy")
        if policy is None and body.get("orphanDependents") is not None:
            policy = Propagation.ORPHAN if body["orphanDependents"] else Propagation.BACKGROUND
        if policy is not None and policy not in list(Propagation):
            words = ", ".join(f'"{p}"' for p in ("Foreground", "Background", "Orphan", "nil"))
            text = f'Invalid value: "{policy}": must be one of {words}'
            raise invalid("DeleteOptions", "", (Cause("propagationPolicy", text),), "meta.k8s.io")
        return cls(
            user=user,
            dry_run=parse_dry_run(body.get("dryRun") or []),
            # A negative period means "at once, and by force" since the v1 API has no other way to say it.
            grace_period=None if grace is None else max(grace, 1 if grace < 0 else 0),
            propagation=None if policy is None else Propagation(policy),
            uid=str(preconditions.get("uid") or ""),
            resource_version=str(preconditions.get("resourceVersion") or ""),
        )


def _options(kind: str, given: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in given.items() if value is not None}
    return {"kind": kind, "apiVersion": "meta.k8s.io/v1", **kept}


def parse_dry_run(values: list[str]) -> bool:
    """True for `["All"]`, False for none.

    Raises:
        ApiError: 422, another value.
    """
    for value in values:
        if value != "All":
            cause = Cause("dryRun", f'Unsupported value: "{value}": supported values: "All"', "FieldValueNotSupported")
            raise invalid("WriteOptions", "", (cause,), "meta.k8s.io")
    return bool(values)


class PatchKind(StrEnum):
    """The media types of a patch."""

    JSON = "application/json-patch+json"
    MERGE = "application/merge-patch+json"
    STRATEGIC = "application/strategic-merge-patch+json"
    APPLY = "application/apply-patch+yaml"


@dataclass(frozen=True)
class Patch:
    """A decoded patch: a list of operations for `JSON`, an object for the others."""

    kind: PatchKind
    body: Any


class Operation(StrEnum):
    """What a request does, as the rules of webhooks name it."""

    CREATE = "CREATE"
    UPDATE = "UPDATE"
    DELETE = "DELETE"
    CONNECT = "CONNECT"


class AdmissionRequest(NamedTuple):
    """A request that is to be admitted: Kubernetes' admission attributes.

    `obj` is what the client wants, None for DELETE; `old` what is stored, None for CREATE and CONNECT. Of a subresource
    with a kind of its own, such as `scale`, they are objects of that kind.
    """

    operation: Operation
    resource: Resource
    obj: Object | None
    old: Object | None = None
    name: str = ""
    namespace: str = ""
    subresource: str = ""
    user: User = SYSTEM
    dry_run: bool = False
    options: WriteOptions | DeleteOptions | None = None

    def of(self, obj: Object | None) -> AdmissionRequest:
        """The same request, of a changed object."""
        return self if obj is self.obj else self._replace(obj=obj)


class Admission(Protocol):
    """What may change or deny a request before it is carried out: the webhooks.

    Raises:
        ApiError: from both methods; a webhook denies the request, or fails and may not be ignored.
    """

    async def mutate(self, request: AdmissionRequest) -> Object | None:
        """The object as the mutating webhooks leave it; of a DELETE, that is ignored."""
        ...

    async def validate(self, request: AdmissionRequest) -> bool:
        """Show the object, as it would be stored, to the validating webhooks.

        Returns whether any was called, which takes time in which others may have written.
        """
        ...


class Open:
    """Admission without webhooks."""

    async def mutate(self, request: AdmissionRequest) -> Object | None:
        """The object, as it is."""
        return request.obj

    async def validate(self, request: AdmissionRequest) -> bool:  # noqa: ARG002
        """Nobody is asked."""
        return False


DEFAULT = WriteOptions()
DEFAULT_DELETE = DeleteOptions()
