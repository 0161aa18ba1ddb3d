"""How a write is asked for: by whom, and with which options of the Kubernetes API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from lab.kube.changes import Object
from lab.kube.errors import Cause, invalid
from lab.kube.resources import Resource


@dataclass(frozen=True)
class User:
    """Who asks, as in Kubernetes' `UserInfo`."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


SYSTEM = User("system:mesh-lab", ("system:masters", "system:authenticated"))


MOST_WARNINGS = 100


class FieldValidation(StrEnum):
    """What becomes of fields that the schema does not know, which are never stored, and of those that are there twice,
    of which the last counts: an error, a warning, or nothing.
    """

    STRICT = "Strict"
    WARN = "Warn"
    IGNORE = "Ignore"


@dataclass(frozen=True)
class WriteOptions:
    """Options of a create, update or patch. What deserves a warning is appended to `warnings`, when that is a list.

    `repeated` are the paths of fields that the body has more than once. `written_through` is a subresource that stands
    for a part of the object, as `scale` does: what is owned names it.
    Writers inside the lab are held to `Strict`: a field that the schema does not know is a mistake of ours.
    """

    user: User = SYSTEM
    dry_run: bool = False
    field_validation: FieldValidation = FieldValidation.STRICT
    repeated: tuple[str, ...] = ()
    field_manager: str = ""
    written_through: str = ""
    force: bool = False
    warnings: list[str] | None = None

    def warn(self, text: str) -> None:
        """Tell the client, once. Beyond `MOST_WARNINGS` nobody is told: no headers would hold them."""
        if self.warnings is not None and len(self.warnings) < MOST_WARNINGS and text not in self.warnings:
            self.warnings.append(text)


class Propagation(StrEnum):
    """What becomes of an object's dependents when it is deleted."""

    BACKGROUND = "Background"
    FOREGROUND = "Foreground"
    ORPHAN = "Orphan"


@dataclass(frozen=True)
class DeleteOptions:
    """Options of a delete. `grace_period` is in seconds, None leaves it to the object; `uid` and `resource_version`
    are preconditions."""

    user: User = SYSTEM
    dry_run: bool = False
    grace_period: int | None = None
    propagation: Propagation | None = None
    uid: str = ""
    resource_version: str = ""

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


class Admission(Protocol):
    """What may change or refuse a write before it is validated: the webhooks."""

    async def admit(
        self,
        operation: str,
        resource: Resource,
        obj: Object | None,
        old: Object | None,
        namespace: str,
        user: User,
        dry_run: bool,
    ) -> Object | None:
        """The object as the webhooks leave it. `operation` is CREATE, UPDATE or DELETE; for DELETE `obj` is None and
        what is returned is ignored.

        Raises:
            ApiError: a webhook refuses, or fails and may not be ignored.
        """
        ...


class Open:
    """Admission without webhooks."""

    async def admit(
        self,
        operation: str,  # noqa: ARG002
        resource: Resource,  # noqa: ARG002
        obj: Object | None,
        old: Object | None,  # noqa: ARG002
        namespace: str,  # noqa: ARG002
        user: User,  # noqa: ARG002
        dry_run: bool,  # noqa: ARG002
    ) -> Object | None:
        """The object, as it is."""
        return obj


DEFAULT = WriteOptions()
DEFAULT_DELETE = DeleteOptions()
