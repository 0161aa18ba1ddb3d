"""The status of a resource that nothing acts on, in the form that its kind has for it.

Istio's kinds and the Gateway API's classes and gateways have conditions. The Gateway API's routes have a list of
parents and its policies one of ancestors, with an entry for each controller:
https://gateway-api.sigs.k8s.io/reference/spec/. The lab writes what Istio's controller would be expected to write. The
status of an object that another controller is in charge of, or has written to, is not changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mesh_lab import conditions
from mesh_lab.controlplane.kube.client import Object
from mesh_lab.controlplane.report import statuses
from mesh_lab.controlplane.report.statuses import parts_of

REASON = "NotActedOn"
CONTROLLER = "istio.io/gateway-controller"
GATEWAY_API = ("gateway.networking.k8s.io", "gateway.networking.x-k8s.io")
"""Its groups: that of its kinds, and that of those which are tried out (`XBackendTrafficPolicy`)."""
_ISTIO = "istio"
_PENDING = "Pending"
"""The reason in the conditions that the Gateway API's definitions set by default, until a controller sets its own."""

Condition = Callable[[str], dict[str, Any]]
"""Makes a condition of a type."""


def shape_of(version: Mapping[str, Any]) -> str | None:
    """The field of `status` in which objects of this version of a CRD report their state; None without a status."""
    if "status" not in (version.get("subresources") or {}):
        return None
    schema = (version.get("schema") or {}).get("openAPIV3Schema") or {}
    fields = (schema.get("properties") or {}).get("status", {}).get("properties") or {}
    return next((shape for shape in SHAPES if shape in fields), "conditions")


def of(shape: str, group: str, obj: Object, text: str, now: str) -> dict[str, Any] | None:
    """The status to merge into the object's; None where another controller is in charge, or it says so already."""

    def condition(kind: str) -> dict[str, Any]:
        generation = obj["metadata"].get("generation", 0)
        made = conditions.condition((), kind, "False", REASON, text, now=now)
        return {**made, "observedGeneration": generation}

    status = obj.get("status")
    present = parts_of(status.get(shape) if isinstance(status, Mapping) else None)
    entries = SHAPES[shape](obj, present, condition) if group in GATEWAY_API else _programmed(present, condition)
    return None if entries is None or _same(entries, present) else {shape: entries}


def _programmed(present: list[Any], condition: Condition) -> list[Any]:
    return [*conditions.others(present, "Programmed"), condition("Programmed")]


def _conditions(obj: Object, present: list[Any], condition: Condition) -> list[Any] | None:
    spec = _mapping(obj.get("spec"))
    controller = str(spec.get("controllerName", spec.get("gatewayClassName", _ISTIO)))
    others = any(each.get("reason") not in (_PENDING, REASON) for each in present)
    if others or not controller.startswith(_ISTIO):
        return None
    return [condition("Accepted")] if "controllerName" in spec else [condition("Accepted"), condition("Programmed")]


def _entries(references: str, name: str) -> Callable[[Object, list[Any], Condition], list[Any] | None]:
    """For a list with an entry for each of `spec.REFERENCES`, under the field `name`, and each controller."""

    def entries(obj: Object, present: list[Any], condition: Condition) -> list[Any] | None:
        ours = [
            {name: reference, "controllerName": CONTROLLER, "conditions": [condition("Accepted")]}
            for reference in parts_of(_mapping(obj.get("spec")).get(references))
        ]
        return [*(each for each in present if each.get("controllerName") != CONTROLLER), *ours]

    return entries


SHAPES = {
    "ancestors": _entries("targetRefs", "ancestorRef"),
    "parents": _entries("parentRefs", "parentRef"),
    "conditions": _conditions,
}
"""By the field of `status`: what all of it is to be, from the object and what it is now."""


def _same(wanted: list[Any], present: list[Any]) -> bool:
    return bool(statuses.timeless(wanted) == statuses.timeless(present))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
