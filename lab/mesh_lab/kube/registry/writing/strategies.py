"""How objects of a resource are created and updated.

Built-in ones as the `Behaviour` of their kind says, custom ones by their schema.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from mesh_lab.kube.changes import Object
from mesh_lab.kube.errors import Cause
from mesh_lab.kube.registry.behaviour import Behaviour
from mesh_lab.kube.registry.custom import validations
from mesh_lab.kube.registry.custom import values as custom_values
from mesh_lab.kube.registry.kinds import behaviour_of
from mesh_lab.kube.registry.rules import fields
from mesh_lab.kube.registry.rules.fields import Rules
from mesh_lab.kube.resources import Resource
from mesh_lab.kube.schemas import Schema

_BLOCKING = frozenset({"FieldValueRequired", "FieldValueTypeInvalid", "FieldValueTooLong", "FieldValueTooMany"})
_NOT_CHECKED = (
    "Invalid value: null: some validation rules were not checked because the object was invalid; "
    "correct the existing errors to complete validation"
)


def _unheard(text: str) -> None: ...


@dataclass(frozen=True)
class Strategy:
    """How a resource's objects come to be and change."""

    resource: Resource
    schema: Schema
    custom: bool
    kind: Behaviour
    rules: Rules
    """Of single fields of a built-in kind: its own, and those that all kinds share."""

    def prepare_create(self, new: Object) -> None:
        """Set the status with which an object begins: a client has no say in it."""
        if "status" in self.resource.subresources:
            new.pop("status", None)
        self.kind.begin(new)

    def prepare_update(self, new: Object, old: Object, subresource: str) -> None:
        """Keep what this way of writing may not change."""
        spec_of = self.kind.specs_of_parts.get(subresource)
        if subresource == "status" or spec_of is not None:
            sent = dict(new)
            new.clear()
            new.update(old)
            new["metadata"] = {**old["metadata"], **_own_marks(sent["metadata"], subresource)}
            if spec_of is not None:
                new["spec"] = spec_of(sent.get("spec") or {}, old.get("spec") or {})
            else:
                new["status"] = sent.get("status") or {}
            return
        if "status" in self.resource.subresources:
            new.pop("status", None)
            if "status" in old:
                new["status"] = old["status"]
        self.kind.keep(new, old)

    def count_generation(self, new: Object, old: Object) -> None:
        """Raise metadata.generation when what the object asks for changed."""
        if self.kind.counts_generations and self._asked(new) != self._asked(old):
            new["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1

    def validate(
        self, new: Object, old: Object | None, subresource: str = "", warn: Callable[[str], None] = _unheard
    ) -> Iterator[Cause]:
        """Everything that is wrong with the object but its metadata: of a built-in one, one cause a field.

        A custom resource that was stored under an older schema stays editable: a write of its status is held to the
        schema of the status, and what was wrong before, in the same place and with the same words, may stay. `warn` is
        told of rules in CEL that only what did not change breaks.
        https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation-ratcheting
        """
        if not self.custom:
            yield from _first_of_each_field(self._built_in(new, old))
            return
        causes = [*self._by_schema(new, old, subresource)]
        yield from causes
        if not self.schema.has_validations:
            return
        if any(cause.reason in _BLOCKING for cause in causes):
            yield Cause("<nil>", _NOT_CHECKED)
        else:
            yield from validations.check(self.schema, new, old, warn)

    def _by_schema(self, new: Object, old: Object | None, subresource: str) -> Iterator[Cause]:
        causes = custom_values.validate(self.schema, new)
        if old is None:
            return causes
        if subresource == "status":
            causes = (cause for cause in causes if cause.field.partition(".")[0].partition("[")[0] == "status")
        return _unless_there_before(causes, self.schema, old)

    def _built_in(self, new: Object, old: Object | None) -> Iterator[Cause]:
        yield from fields.check(self.schema, new, self.rules)
        yield from self.kind.check(new)
        if old is not None:
            yield from self.kind.check_update(new, old)

    def is_finished(self, new: Object) -> bool:
        """Whether a deleted object has nothing left to wait for."""
        meta = new["metadata"]
        return bool(meta.get("deletionTimestamp")) and not meta.get("finalizers") and not self.kind.is_held(new)

    def _asked(self, obj: Object) -> Object:
        # Without a status subresource, the status of a custom resource is a field like others.
        skipped = {"metadata", "status"} if "status" in self.resource.subresources or not self.custom else {"metadata"}
        return {key: value for key, value in obj.items() if key not in skipped | {"apiVersion"}}


def _first_of_each_field(causes: Iterator[Cause]) -> Iterator[Cause]:
    seen: set[str] = set()
    for cause in causes:
        if cause.field not in seen:
            seen.add(cause.field)
            yield cause


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
    kind = behaviour_of(resource)
    return Strategy(resource, schema, custom, kind, {**fields.SHARED, **kind.fields})
