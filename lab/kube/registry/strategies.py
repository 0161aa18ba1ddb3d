"""What differs from kind to kind when objects are created and updated."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from lab.kube.changes import Object
from lab.kube.errors import Cause
from lab.kube.registry.metadata import COUNTS_GENERATIONS
from lab.kube.registry.namespaces import FINALIZER
from lab.kube.registry.table import ResourceTable
from lab.kube.resources import NAMESPACES, PODS, Resource


@dataclass(frozen=True)
class Strategy:
    """How a resource's objects come to be and change."""

    resource: Resource
    custom: bool = False

    @property
    def counts_generations(self) -> bool:
        """Whether metadata.generation counts changes of what the object asks for."""
        return self.custom or self.resource.key in COUNTS_GENERATIONS

    def prepare_create(self, new: Object) -> None:
        """Set the status with which an object begins: a client has no say in it."""
        if "status" in self.resource.subresources:
            new.pop("status", None)
        if self.resource.key == PODS.key:
            new["status"] = {"phase": "Pending"}
        if self.resource.key == NAMESPACES.key:
            new["status"] = {"phase": "Active"}
            spec = new.setdefault("spec", {})
            if FINALIZER not in spec.setdefault("finalizers", []):
                spec["finalizers"].append(FINALIZER)

    def prepare_update(self, new: Object, old: Object, subresource: str) -> None:
        """Keep what this way of writing may not change."""
        if subresource == "status":
            status = new.get("status")
            _replace(new, old)
            new["status"] = status or {}
        elif subresource == "finalize":
            finalizers = (new.get("spec") or {}).get("finalizers") or []
            _replace(new, old)
            new["spec"] = {"finalizers": finalizers} if finalizers else {}
        elif "status" in self.resource.subresources:
            if "status" in old:
                new["status"] = old["status"]
            else:
                new.pop("status", None)
            if self.resource.key == NAMESPACES.key:
                new["spec"] = old.get("spec", {})

    def count_generation(self, new: Object, old: Object) -> None:
        """Raise metadata.generation when what the object asks for changed."""
        if self.counts_generations and _asked(new) != _asked(old):
            new["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1

    def validate(self, new: Object, old: Object | None) -> Iterator[Cause]:
        """What is wrong with the object."""
        yield from ()

    def is_finished(self, new: Object) -> bool:
        """Whether a deleted object has nothing left to wait for."""
        metadata = new["metadata"]
        if not metadata.get("deletionTimestamp") or metadata.get("finalizers"):
            return False
        if self.resource.key == NAMESPACES.key:
            return not (new.get("spec") or {}).get("finalizers")
        return not (self.resource.key == PODS.key and metadata.get("deletionGracePeriodSeconds"))


def _replace(new: Object, old: Object) -> None:
    new.clear()
    new.update(old)
    new["metadata"] = dict(old["metadata"])


def _asked(obj: Object) -> Object:
    return {key: value for key, value in obj.items() if key not in ("metadata", "status")}


@lru_cache(maxsize=256)
def _strategy(resource: Resource, custom: bool) -> Strategy:
    return Strategy(resource, custom)


def strategy_of(resource: Resource, resources: ResourceTable) -> Strategy:
    """The strategy of a resource."""
    return _strategy(resource, resources.is_custom(resource))
