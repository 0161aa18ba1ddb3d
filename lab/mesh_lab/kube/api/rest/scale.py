"""The `scale` subresource: the number of replicas of any kind, as an `autoscaling/v1 Scale`.

https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#scale-subresource
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from aiohttp import web

from mesh_lab.kube.api import tables
from mesh_lab.kube.api.bodies import answers
from mesh_lab.kube.api.bodies.negotiation import Form, choose
from mesh_lab.kube.api.context import Call
from mesh_lab.kube.api.rest.objects import addressed, included, read_patch
from mesh_lab.kube.api.rest.parameters import decode_typed, write_options
from mesh_lab.kube.changes import Object
from mesh_lab.kube.errors import Cause, invalid, not_found
from mesh_lab.kube.registry.custom.definitions import ScalePaths
from mesh_lab.kube.registry.options import Patch, PatchKind, View
from mesh_lab.kube.registry.patching.patches import apply_patch, merge
from mesh_lab.kube.registry.printing import columns
from mesh_lab.kube.schemas import named_schema

_SCALE = "io.k8s.api.autoscaling.v1.Scale"
_BUILTIN = ScalePaths(".spec.replicas", ".status.replicas", ".spec.selector")


def _row(scale: Mapping[str, Any], now: datetime) -> columns.Cells:
    wanted = columns.part(scale, "spec").get("replicas", 0)
    present = columns.part(scale, "status").get("replicas", 0)
    return [columns.name(scale), wanted, present, columns.age(scale, now)]


_PRINTER = columns.Printer(
    (columns.NAME, columns.Column("Desired", "integer"), columns.Column("Available", "integer"), columns.AGE), _row
)


async def get(call: Call) -> web.Response:
    """Answer with the scale of an object."""
    scale = _scale(call, call.registry.get(call.resource, call.name, call.namespace))
    if choose(call.request.headers.get("Accept"), Form.TABLE) is Form.TABLE:
        metadata = {"resourceVersion": scale["metadata"]["resourceVersion"]}
        return answers.json_response(tables.table(_PRINTER, [scale], metadata, include=included(call)))
    return answers.json_response(scale)


async def update(call: Call) -> web.Response:
    """Set the scale of an object."""
    body = addressed(call, await answers.read_object(call.request))
    return await _set(call, lambda _: body)


async def patch(call: Call) -> web.Response:
    """Change the scale of an object; the patch is one of its Scale."""
    change, _ = await read_patch(call)
    if change.kind is PatchKind.APPLY:
        change = Patch(PatchKind.MERGE, change.body)

    def patched(present: Object) -> Object:
        # Only a version that the patch itself names is a condition.
        del present["metadata"]["resourceVersion"]
        return apply_patch(change, present, named_schema(_SCALE), custom=False)

    return await _set(call, patched)


async def _set(call: Call, wanted: Callable[[Object], Object]) -> web.Response:
    """Set the scale that `wanted` makes of the present one; retried on conflicts."""

    def change(found: Object) -> Object:
        scale = decode_typed(call, wanted(_scale(call, found)), "autoscaling/v1", "Scale")
        replicas = (scale.get("spec") or {}).get("replicas", 0)
        if replicas < 0:
            cause = Cause("spec.replicas", f"Invalid value: {replicas}: must be greater than or equal to 0")
            raise invalid("Scale", call.name, (cause,), "autoscaling")
        resized = _resized(call, found, replicas)
        if version := scale["metadata"].get("resourceVersion"):
            resized["metadata"]["resourceVersion"] = version
        return resized

    view = View(lambda obj: _scale(call, obj), lambda obj, scale: _resized(call, obj, scale["spec"]["replicas"]))
    options = replace(write_options(call), written_through="scale", view=view)
    stored = await call.registry.change(call.resource, call.name, call.namespace, change, options=options)
    return answers.json_response(_scale(call, stored), warnings=call.warnings)


def _resized(call: Call, obj: Object, replicas: int) -> Object:
    resized: Object = merge(obj, _nested(_paths(call).spec_replicas, replicas))
    return resized


def _scale(call: Call, obj: Mapping[str, Any]) -> dict[str, Any]:
    paths = _paths(call)
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    status: dict[str, Any] = {"replicas": _at(obj, paths.status_replicas) or 0}
    selector = _at(obj, paths.selector) if paths.selector else None
    if selector:
        text = selector if isinstance(selector, str) else columns.selector_text(selector)
        status["selector"] = "" if text == columns.NONE else text
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: obj["metadata"][key] for key in kept if key in obj["metadata"]},
        "spec": {"replicas": _at(obj, paths.spec_replicas) or 0},
        "status": status,
    }


def _paths(call: Call) -> ScalePaths:
    served = call.registry.resources.served(call.resource)
    if served is None:
        return _BUILTIN
    if served.scale is None:
        raise not_found(f"{call.resource.plural}/scale", call.name, call.resource.group)
    return served.scale


def _at(obj: Mapping[str, Any], path: str) -> Any:
    here: Any = obj
    for key in path.strip(".").split("."):
        here = here.get(key) if isinstance(here, Mapping) else None
    return here


def _nested(path: str, value: Any) -> dict[str, Any]:
    for key in reversed(path.strip(".").split(".")):
        value = {key: value}
    return dict(value)
