"""What all kinds share: metadata, owner references, label selectors, conditions."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec


class View(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Base of the typed views: camelCase on the wire, unknown fields ignored."""


class OwnerReference(View, frozen=True, kw_only=True):
    """An owner of the object; at most one of them has `controller`."""

    api_version: str
    kind: str
    name: str
    uid: str
    controller: bool = False
    block_owner_deletion: bool = False


class ObjectMeta(View, frozen=True, kw_only=True):
    """The part of `metadata` that is read here."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    deletion_grace_period_seconds: int | None = None
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    annotations: dict[str, str] = msgspec.field(default_factory=dict)
    owner_references: tuple[OwnerReference, ...] = ()
    finalizers: tuple[str, ...] = ()

    @property
    def controller(self) -> OwnerReference | None:
        """The owner that manages this object, if it has one."""
        return next((owner for owner in self.owner_references if owner.controller), None)

    @property
    def deleting(self) -> bool:
        """Whether deletion was requested (and waits for a grace period or finalizers)."""
        return self.deletion_timestamp is not None


class LabelSelectorRequirement(View, frozen=True, kw_only=True):
    """One term of `matchExpressions`."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: dict[str, str]) -> bool:
        """Kubernetes' rules: `NotIn` holds for an absent key; an unknown operator matches nothing."""
        match self.operator:
            case "In":
                return labels.get(self.key) in self.values
            case "NotIn":
                return labels.get(self.key) not in self.values
            case "Exists":
                return self.key in labels
            case "DoesNotExist":
                return self.key not in labels
            case _:
                return False


class LabelSelector(View, frozen=True, kw_only=True):
    """`spec.selector` of a workload."""

    match_labels: dict[str, str] = msgspec.field(default_factory=dict)
    match_expressions: tuple[LabelSelectorRequirement, ...] = ()

    @property
    def empty(self) -> bool:
        """An empty selector would match everything; the workload controllers refuse to act on one."""
        return not self.match_labels and not self.match_expressions

    def matches(self, labels: dict[str, str]) -> bool:
        """Whether all terms hold for these labels."""
        return contains(labels, self.match_labels) and all(term.matches(labels) for term in self.match_expressions)


class Condition(View, frozen=True, kw_only=True):
    """An entry of `status.conditions`, as far as it is read here."""

    type: str
    status: str
    last_transition_time: datetime | None = None


def contains(labels: dict[str, str], wanted: dict[str, str]) -> bool:
    """Whether `labels` has all pairs of `wanted` (an equality-based selector, such as a Service's)."""
    return wanted.items() <= labels.items()


def owner_reference(owner: dict[str, Any]) -> dict[str, Any]:
    """The controller's reference from a dependent to `owner`, a stored object."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
