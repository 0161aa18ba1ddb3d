"""PriorityClasses: numbers by name, which admission writes into pods. The lab has one node, and preempts no pod.

https://kubernetes.io/docs/concepts/scheduling-eviction/pod-priority-preemption/
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from mesh_lab.kube.changes import Object
from mesh_lab.kube.errors import Cause, forbidden
from mesh_lab.kube.registry.behaviour import Behaviour
from mesh_lab.kube.registry.options import WriteOptions
from mesh_lab.kube.registry.printing.columns import AGE, NAME, Cells, Column, Printer, age, name
from mesh_lab.kube.registry.rules import causes
from mesh_lab.kube.resources import Resource
from mesh_lab.kube.store import Store

PRIORITY_CLASSES = Resource("scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", False, ("pc",))
PREEMPT = "PreemptLowerPriority"
_POLICIES = (PREEMPT, "Never")
_HIGHEST_OF_USERS = 1_000_000_000
_SYSTEM_PREFIX = "system-"
_SYSTEM = {
    "system-cluster-critical": (2_000_000_000, "Used for system critical pods that must run in the cluster."),
    "system-node-critical": (2_000_001_000, "Used for system critical pods that must not be moved from their node."),
}


def find_class(store: Store, name: str) -> Object | None:
    """The class of that name; without a name, the one that is marked as default."""
    if name:
        return store.head(PRIORITY_CLASSES.key, "", name)
    return _default(store.objects(PRIORITY_CLASSES.key))


def _default(classes: Iterable[Object]) -> Object | None:
    """The class that is marked as default. Of several, which two writes at once may leave, the lowest counts."""
    return min((one for one in classes if one.get("globalDefault")), key=lambda one: int(one["value"]), default=None)


def _fill_defaults(priority_class: Object) -> None:
    priority_class.setdefault("value", 0)
    priority_class.setdefault("preemptionPolicy", PREEMPT)


def _begin(priority_class: Object) -> None:
    """Its generation is 1, and counts no changes."""
    priority_class["metadata"]["generation"] = 1


def _check(priority_class: Object) -> Iterator[Cause]:
    name, value = priority_class["metadata"].get("name", ""), priority_class["value"]
    if name.startswith(_SYSTEM_PREFIX):
        if problem := _system_problem(name, value, marked=bool(priority_class.get("globalDefault"))):
            words = f"priority class names with '{_SYSTEM_PREFIX}' prefix are reserved for system use only. error: "
            yield causes.forbidden("metadata.name", words + problem)
    elif value > _HIGHEST_OF_USERS:
        yield causes.forbidden("value", f"maximum allowed value of a user defined priority is {_HIGHEST_OF_USERS}")
    if (policy := priority_class["preemptionPolicy"]) not in _POLICIES:
        yield causes.unsupported("preemptionPolicy", policy, _POLICIES)


def _system_problem(name: str, value: int, *, marked: bool) -> str:
    if name not in _SYSTEM:
        return f"{name} is not a known system priority class"
    if value != _SYSTEM[name][0]:
        return f"value of {name} PriorityClass must be {_SYSTEM[name][0]}"
    return f"globalDefault of {name} PriorityClass must be false" if marked else ""


def _check_update(new: Object, old: Object) -> Iterator[Cause]:
    if new["value"] != old["value"]:
        yield causes.forbidden("value", "may not be changed in an update.")
    yield from causes.immutable("preemptionPolicy", new["preemptionPolicy"], old["preemptionPolicy"])


def _review(store: Store, new: Object, old: Object | None, options: WriteOptions) -> None:  # noqa: ARG001
    """Refuse a second class that is marked as default."""
    if not new.get("globalDefault"):
        return
    name = new["metadata"]["name"]
    marked = _default(one for one in store.heads(PRIORITY_CLASSES.key) if one["metadata"]["name"] != name)
    if marked is not None:
        raise forbidden(
            f'{PRIORITY_CLASSES.key} "{name}" is forbidden: PriorityClass {marked["metadata"]["name"]} is already '
            "marked as default. Only one default can exist"
        )


def _row(obj: Mapping[str, Any], now: datetime) -> Cells:
    return [name(obj), obj.get("value", 0), bool(obj.get("globalDefault")), age(obj, now), obj.get("preemptionPolicy")]


BEHAVIOUR = Behaviour(
    PRIORITY_CLASSES,
    standard=tuple(
        {"metadata": {"name": name}, "value": value, "description": description}
        for name, (value, description) in _SYSTEM.items()
    ),
    fill_defaults=_fill_defaults,
    begin=_begin,
    check=_check,
    check_update=_check_update,
    review=_review,
    printer=Printer(
        (
            NAME,
            Column("Value", "integer", description="The priority of a pod that names this class."),
            Column("Global-Default", "boolean", description="Whether pods that name no class have this one."),
            AGE,
            Column("PreemptionPolicy", description="Whether such a pod may take the place of others."),
        ),
        _row,
    ),
)
