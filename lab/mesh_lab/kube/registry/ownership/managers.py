"""The owners of an object's fields, and their list in `metadata.managedFields`.

https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/object-meta/ (ManagedFieldsEntry)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mesh_lab.kube.registry.ownership import fieldsets
from mesh_lab.kube.registry.ownership.fieldsets import FieldSet, FieldSetError, Tree

APPLY = "Apply"
UPDATE = "Update"
ANCIENT = "ancient-changes"
"""The manager that takes over the fields of the oldest managers, once there are too many of them."""
MOST_UPDATERS = 10

_OPERATIONS = (APPLY, UPDATE)
_FORMAT = "FieldsV1"


@dataclass(frozen=True, order=True)
class Manager:
    """A field manager and its operation. `api_version` distinguishes managers that update; it is empty for an apply."""

    operation: str
    name: str
    api_version: str = ""
    subresource: str = ""


@dataclass(frozen=True)
class Owned:
    """What a manager owns: the fields in the version that it wrote last, and when that was (RFC 3339)."""

    fields: FieldSet
    api_version: str
    time: str


Managed = Mapping[Manager, Owned]
Entry = dict[str, Any]


def decode(entries: Any) -> dict[Manager, Owned]:
    """The owners in `metadata.managedFields`.

    Raises:
        FieldSetError: an entry is malformed.
    """
    found: dict[Manager, Owned] = {}
    for entry in entries or ():
        operation, version = entry.get("operation"), entry.get("apiVersion", "")
        if operation not in _OPERATIONS:
            raise FieldSetError(f"operation {operation!r} is neither Apply nor Update")
        if entry.get("fieldsType") != _FORMAT:
            raise FieldSetError(f"fieldsType {entry.get('fieldsType')!r} is not {_FORMAT}")
        found[manager_of(entry)] = Owned(fieldsets.paths(entry.get("fieldsV1") or {}), version, entry.get("time", ""))
    return found


def encode(managed: Managed) -> list[dict[str, Any]]:
    """The owners as `metadata.managedFields`: those that apply first, then by time and name."""
    return in_order(
        [entry(one, fieldsets.tree(owned.fields), owned.api_version, owned.time) for one, owned in managed.items()]
    )


def in_order(entries: list[Entry]) -> list[Entry]:
    """Entries of `metadata.managedFields` as they stand there: those that apply first, then by time and name."""
    if len(entries) == 1:
        return entries
    return sorted(
        entries,
        key=lambda one: (
            one["operation"],
            one.get("time", ""),
            one.get("manager", ""),
            one["apiVersion"] if one["operation"] == UPDATE else "",
            one.get("subresource", ""),
        ),
    )


def manager_of(entry: Entry) -> Manager:
    """The field manager of an entry."""
    operation = entry["operation"]
    version = "" if operation == APPLY else entry.get("apiVersion", "")
    return Manager(operation, entry.get("manager", ""), version, entry.get("subresource", ""))


def capped(managed: Managed) -> Managed:
    """At most `MOST_UPDATERS` that update: the oldest are one from then on."""
    updaters = sorted((one for one in managed if one.operation == UPDATE), key=lambda one: (managed[one].time, one))
    excess = len(updaters) - MOST_UPDATERS
    if excess <= 0:
        return managed
    kept = dict(managed)
    # One more goes, since what takes their place counts as well.
    for old in updaters[: excess + 1]:
        owned = kept.pop(old)
        ancient = Manager(UPDATE, ANCIENT, old.api_version)
        before = kept.get(ancient)
        fields = owned.fields | before.fields if before else owned.fields
        kept[ancient] = Owned(fields, owned.api_version, owned.time)
    return kept


def entry(manager: Manager, fields: Tree, api_version: str, time: str) -> Entry:
    """What `metadata.managedFields` says of one owner."""
    made = {
        "manager": manager.name,
        "operation": manager.operation,
        "apiVersion": api_version,
        "time": time,
        "fieldsType": _FORMAT,
        "fieldsV1": fields,
        "subresource": manager.subresource,
    }
    return {key: value for key, value in made.items() if value or key == "fieldsV1"}
