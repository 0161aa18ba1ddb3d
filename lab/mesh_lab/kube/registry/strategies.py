"""What differs from kind to kind when objects are created and updated."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from mesh_lab.kube.changes import Object
from mesh_lab.kube.errors import Cause
from mesh_lab.kube.registry import custom_values, rules
from mesh_lab.kube.registry.metadata import COUNTS_GENERATIONS
from mesh_lab.kube.registry.namespaces import FINALIZER
from mesh_lab.kube.registry.quality import qos_class
from mesh_lab.kube.registry.service_addresses import keep_allocated
from mesh_lab.kube.resources import (
    CRDS,
    DEPLOYMENTS,
    LEASES,
    MUTATING_WEBHOOKS,
    NAMESPACES,
    PODS,
    REPLICASETS,
    SERVICES,
    Resource,
)
from mesh_lab.kube.schemas import Schema

# The status with which an object begins.
_INITIAL_STATUS: Mapping[str, Callable[[Object], dict[str, Any]]] = {
    PODS.key: lambda pod: {"phase": "Pending", "qosClass": qos_class(pod["spec"])},
    NAMESPACES.key: lambda _: {"phase": "Active"},
    SERVICES.key: lambda _: {"loadBalancer": {}},
    DEPLOYMENTS.key: lambda _: {},
    REPLICASETS.key: lambda _: {"replicas": 0},
}

_NAMES_WHAT_IT_REPLACES = frozenset(
    {
        LEASES.key,
        CRDS.key,
        MUTATING_WEBHOOKS.key,
        "validatingwebhookconfigurations.admissionregistration.k8s.io",
    }
)
"""Built-in kinds whose update has to name the version that it replaces, as that of custom resources has to."""


@dataclass(frozen=True)
class Strategy:
    """How a resource's objects come to be and change."""

    resource: Resource
    schema: Schema
    custom: bool

    @property
    def counts_generations(self) -> bool:
        """Whether metadata.generation counts changes of what the object asks for."""
        return self.custom or self.resource.key in COUNTS_GENERATIONS

    @property
    def may_be_replaced_unseen(self) -> bool:
        """Whether an update need not name the version that it replaces (`AllowUnconditionalUpdate`)."""
        return not self.custom and self.resource.key not in _NAMES_WHAT_IT_REPLACES

    def prepare_create(self, new: Object) -> None:
        """Set the status with which an object begins: a client has no say in it."""
        if "status" in self.resource.subresources:
            new.pop("status", None)
        if self.resource.key == NAMESPACES.key:
            finalizers = new.setdefault("spec", {}).setdefault("finalizers", [])
            if FINALIZER not in finalizers:
                finalizers.append(FINALIZER)
        if (initial := _INITIAL_STATUS.get(self.resource.key)) is not None:
            new["status"] = initial(new)

    def prepare_update(self, new: Object, old: Object, subresource: str) -> None:
        """Keep what this way of writing may not change."""
        if subresource in ("status", "finalize", "ephemeralcontainers"):
            part = new.get("status") if subresource == "status" else new.get("spec")
            meta = new["metadata"]
            new.clear()
            new.update(old)
            new["metadata"] = {**old["metadata"], **_own_marks(meta, subresource)}
            if subresource == "status":
                new["status"] = part or {}
            elif subresource == "finalize":
                finalizers = (part or {}).get("finalizers") or []
                new["spec"] = {**old.get("spec", {}), "finalizers": finalizers} if finalizers else {}
            else:
                new["spec"] = {**old["spec"], "ephemeralContainers": (part or {}).get("ephemeralContainers") or []}
            return
        if "status" in self.resource.subresources:
            new.pop("status", None)
            if "status" in old:
                new["status"] = old["status"]
        if self.resource.key == NAMESPACES.key:
            new["spec"] = old.get("spec", {})
        if self.resource.key == SERVICES.key:
            keep_allocated(new, old)

    def count_generation(self, new: Object, old: Object) -> None:
        """Raise metadata.generation when what the object asks for changed."""
        if self.counts_generations and self._asked(new) != self._asked(old):
            new["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1

    def validate(self, new: Object, old: Object | None, subresource: str = "") -> Iterator[Cause]:
        """Everything that is wrong with the object but its metadata.

        A custom resource that was stored under an older schema stays editable: a write of its status is held to the
        schema of the status, and what was wrong before, in the same place and with the same words, may stay.
        https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation-ratcheting
        """
        if not self.custom:
            return rules.check(self.resource.key, self.schema, new, old)
        causes = custom_values.validate(self.schema, new)
        if old is None:
            return causes
        if subresource == "status":
            causes = (cause for cause in causes if cause.field.partition(".")[0].partition("[")[0] == "status")
        return _unless_there_before(causes, self.schema, old)

    def remarks(self, new: Object) -> tuple[str, ...]:
        """What deserves a warning although the object is taken."""
        return () if self.custom else rules.remarks(self.resource.key, new)

    def is_finished(self, new: Object) -> bool:
        """Whether a deleted object has nothing left to wait for."""
        metadata = new["metadata"]
        if not metadata.get("deletionTimestamp") or metadata.get("finalizers"):
            return False
        if self.resource.key == NAMESPACES.key:
            return not (new.get("spec") or {}).get("finalizers")
        return not (self.resource.key == PODS.key and metadata.get("deletionGracePeriodSeconds"))

    def _asked(self, obj: Object) -> Object:
        # Without a status subresource, the status of a custom resource is a field like others.
        skipped = {"metadata", "status"} if "status" in self.resource.subresources or not self.custom else {"metadata"}
        return {key: value for key, value in obj.items() if key not in skipped | {"apiVersion"}}


def _unless_there_before(causes: Iterator[Cause], schema: Schema, old: Object) -> Iterator[Cause]:
    found = list(causes)
    before = frozenset(custom_values.validate(schema, old)) if found else frozenset()
    return (cause for cause in found if cause not in before)


def _own_marks(metadata: dict[str, Any], subresource: str) -> dict[str, Any]:
    """What of the metadata a write to a subresource may change: the writer of a status leaves notes beside it."""
    if subresource != "status":
        return {}
    return {field: metadata[field] for field in ("annotations",) if field in metadata}


@lru_cache(maxsize=256)
def strategy_of(resource: Resource, schema: Schema, custom: bool) -> Strategy:
    """The strategy of a resource."""
    return Strategy(resource, schema, custom)
