"""The `scale` subresource: how many pods something wants, as an `autoscaling/v1 Scale`, whatever kind it is.

https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#scale-subresource
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from lab.kube.api import answers
from lab.kube.api.context import Call
from lab.kube.api.objects import addressed, read_patch
from lab.kube.api.parameters import write_options
from lab.kube.api.tables.columns import NONE, selector_text
from lab.kube.errors import Cause, bad_request, invalid, not_found
from lab.kube.registry.options import Patch, PatchKind
from lab.kube.registry.patches import apply_patch
from lab.kube.registry.table import ScalePaths
from lab.kube.schemas import named_schema

_SCALE = "io.k8s.api.autoscaling.v1.Scale"
_BUILTIN = ScalePaths(".spec.replicas", ".status.replicas", ".spec.selector")


async def get(call: Call) -> web.Response:
    """The scale of an object."""
    return answers.json_response(_scale(call, call.registry.get(call.resource, call.name, call.namespace)))


async def update(call: Call) -> web.Response:
    """Set the scale of an object."""
    body = addressed(call, await answers.read_object(call.request))
    return await _set(call, body)


async def patch(call: Call) -> web.Response:
    """Change the scale of an object; the patch is one of its Scale."""
    change = await read_patch(call)
    present = _scale(call, call.registry.get(call.resource, call.name, call.namespace))
    version = present["metadata"].pop("resourceVersion")
    if change.kind is PatchKind.APPLY:
        change = Patch(PatchKind.MERGE, change.body)
    wanted = apply_patch(change, present, named_schema(_SCALE), custom=False)
    # A version that the patch names is a condition; what was read just now is one as well, for it is what was patched.
    wanted.setdefault("metadata", {}).setdefault("resourceVersion", version)
    return await _set(call, wanted)


async def _set(call: Call, scale: Mapping[str, Any]) -> web.Response:
    if (scale.get("kind") or "Scale") != "Scale":
        raise bad_request(f"the object provided is unrecognized (must be of type Scale): Kind={scale['kind']}")
    spec = scale.get("spec") or {}
    replicas = spec.get("replicas", 0) if isinstance(spec, dict) else None
    if not isinstance(replicas, int) or isinstance(replicas, bool):
        raise bad_request("Scale in version v1 cannot be handled as a Scale: spec.replicas must be a whole number")
    if replicas < 0:
        cause = Cause("spec.replicas", f"Invalid value: {replicas}: must be greater than or equal to 0")
        raise invalid("Scale", call.name, (cause,), "autoscaling")
    body = _nested(_paths(call).spec_replicas, replicas)
    if version := (scale.get("metadata") or {}).get("resourceVersion"):
        body["metadata"] = {"resourceVersion": version}
    stored = await call.registry.patch(
        call.resource, call.name, call.namespace, Patch(PatchKind.MERGE, body), options=write_options(call)
    )
    return answers.json_response(_scale(call, stored), warnings=call.warnings)


def _scale(call: Call, obj: Mapping[str, Any]) -> dict[str, Any]:
    paths = _paths(call)
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    status: dict[str, Any] = {"replicas": _at(obj, paths.status_replicas) or 0}
    selector = _at(obj, paths.selector) if paths.selector else None
    if selector:
        text = selector if isinstance(selector, str) else selector_text(selector)
        status["selector"] = "" if text == NONE else text
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
