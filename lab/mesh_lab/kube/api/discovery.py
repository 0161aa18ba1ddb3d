"""Discovery: which groups, versions and resources are served, in the aggregated form of kubectl and in the older ones.

https://kubernetes.io/docs/concepts/overview/kubernetes-api/#discovery-api
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from mesh_lab.kube.api import health
from mesh_lab.kube.api.bodies.answers import json_response
from mesh_lab.kube.api.bodies.negotiation import Form, choose
from mesh_lab.kube.api.context import REGISTRY
from mesh_lab.kube.api.rest import connecting
from mesh_lab.kube.errors import ApiError
from mesh_lab.kube.resources import Resource

_AGGREGATED_TYPE = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_VERSION = re.compile(r"v(\d+)(?:(alpha|beta)(\d+))?")
_STAGES = {"": 2, "beta": 1, "alpha": 0}


@dataclass(frozen=True)
class _Subresource:
    """A subresource's kind when that is not the resource's own."""

    verbs: tuple[str, ...]
    group: str = ""
    version: str = ""
    kind: str = ""


_READ_WRITE = ("get", "patch", "update")
_CONNECT = ("create", "get")
_PROXY = ("create", "delete", "get", "patch", "update")
_SUBRESOURCES: Mapping[str, _Subresource] = {
    "binding": _Subresource(("create",), "", "v1", "Binding"),
    "ephemeralcontainers": _Subresource(_READ_WRITE),
    "eviction": _Subresource(("create",), "policy", "v1", "Eviction"),
    "finalize": _Subresource(("update",)),
    "log": _Subresource(("get",)),
    "scale": _Subresource(_READ_WRITE, "autoscaling", "v1", "Scale"),
    "status": _Subresource(_READ_WRITE),
    "token": _Subresource(("create",), "authentication.k8s.io", "v1", "TokenRequest"),
}


def add_routes(app: web.Application) -> None:
    """Serve discovery, at each path with and without a trailing slash."""
    for path, handler in (
        ("/api", _api),
        ("/apis", _apis),
        ("/api/{version}", _resources),
        ("/apis/{group}", _group),
        ("/apis/{group}/{version}", _resources),
    ):
        app.router.add_get(path, handler)
        app.router.add_get(path + "/", handler)
    app.router.add_get("/", _root)


async def _root(request: web.Request) -> web.Response:
    """List the paths, for `kubectl get --raw /`."""
    groups = grouped(request.app[REGISTRY].resources.all())
    found = {"/api", "/apis", "/openapi/v2", "/openapi/v3", *health.OPEN_PATHS}
    for group, versions in groups.items():
        base = f"/apis/{group}" if group else "/api"
        found |= {base, *(f"{base}/{version}" for version in versions)}
    return json_response({"paths": sorted(found)})


def priority(version: str) -> tuple[int, int, int]:
    """Rank a version, preferred ones higher: v2, v1, v1beta2, v1beta1, v1alpha1, others."""
    match = _VERSION.fullmatch(version)
    if match is None:
        return (-1, 0, 0)
    major, stage, minor = match.groups()
    return (_STAGES[stage or ""], int(major), int(minor or 0))


def grouped(resources: Iterable[Resource]) -> dict[str, dict[str, list[Resource]]]:
    """Group resources by group and version: groups by name, versions by preference, resources by name."""
    groups: dict[str, dict[str, list[Resource]]] = {}
    for resource in sorted(resources, key=lambda r: (r.group, r.plural)):
        groups.setdefault(resource.group, {}).setdefault(resource.version, []).append(resource)
    return {
        group: dict(sorted(versions.items(), key=lambda item: priority(item[0]), reverse=True))
        for group, versions in groups.items()
    }


def subresource_kind(resource: Resource, name: str) -> tuple[tuple[str, str, str], tuple[str, ...]]:
    """Return ((group, version, kind), verbs) of a subresource."""
    if name in connecting.KINDS:
        verbs = _PROXY if name == "proxy" else _CONNECT
        return ("", "v1", connecting.KINDS[name].get(resource.key, resource.kind)), verbs
    known = _SUBRESOURCES[name]
    if not known.kind:
        return (resource.group, resource.version, resource.kind), known.verbs
    return (known.group, known.version, known.kind), known.verbs


async def _api(request: web.Request) -> web.Response:
    groups = grouped(request.app[REGISTRY].resources.all())
    if choose(request.headers.get("Accept"), Form.DISCOVERY) is Form.DISCOVERY:
        return _aggregated({"": groups[""]})
    return json_response(
        {
            "kind": "APIVersions",
            "versions": list(groups[""]),
            "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": request.host}],
        }
    )


async def _apis(request: web.Request) -> web.Response:
    groups = grouped(request.app[REGISTRY].resources.all())
    named = {group: versions for group, versions in groups.items() if group}
    if choose(request.headers.get("Accept"), Form.DISCOVERY) is Form.DISCOVERY:
        return _aggregated(named)
    return json_response(
        {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_legacy_group(*g) for g in named.items()]}
    )


async def _group(request: web.Request) -> web.Response:
    group = request.match_info["group"]
    versions = grouped(request.app[REGISTRY].resources.all()).get(group)
    if not versions:
        raise _unknown()
    return json_response({"kind": "APIGroup", "apiVersion": "v1", **_legacy_group(group, versions)})


async def _resources(request: web.Request) -> web.Response:
    group, version = request.match_info.get("group", ""), request.match_info["version"]
    resources = grouped(request.app[REGISTRY].resources.all()).get(group, {}).get(version)
    if not resources:
        raise _unknown()
    return json_response(
        {
            "kind": "APIResourceList",
            "apiVersion": "v1",
            "groupVersion": f"{group}/{version}" if group else version,
            "resources": [entry for resource in resources for entry in _legacy_resource(resource)],
        }
    )


def _unknown() -> ApiError:
    return ApiError(404, "NotFound", "the server could not find the requested resource")


def _aggregated(groups: Mapping[str, Mapping[str, list[Resource]]]) -> web.Response:
    items = [
        {
            "metadata": {"name": group, "creationTimestamp": None},
            "versions": [
                {"version": version, "resources": [_entry(r) for r in resources], "freshness": "Current"}
                for version, resources in versions.items()
            ],
        }
        for group, versions in groups.items()
    ]
    body = {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items}
    return json_response(body, content_type=_AGGREGATED_TYPE)


def _entry(resource: Resource) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "resource": resource.plural,
        "responseKind": {"group": resource.group, "version": resource.version, "kind": resource.kind},
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": _singular(resource),
        "verbs": list(resource.verbs),
    }
    if resource.short:
        entry["shortNames"] = list(resource.short)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    if resource.subresources:
        entry["subresources"] = [_subresource_entry(resource, name) for name in sorted(resource.subresources)]
    return entry


def _subresource_entry(resource: Resource, name: str) -> dict[str, Any]:
    (group, version, kind), verbs = subresource_kind(resource, name)
    return {
        "subresource": name,
        "responseKind": {"group": group, "version": version, "kind": kind},
        "verbs": list(verbs),
    }


def _legacy_group(group: str, versions: Mapping[str, Any]) -> dict[str, Any]:
    entries = [{"groupVersion": f"{group}/{version}", "version": version} for version in versions]
    return {"name": group, "versions": entries, "preferredVersion": entries[0]}


def _legacy_resource(resource: Resource) -> list[dict[str, Any]]:
    entry: dict[str, Any] = {
        "name": resource.plural,
        "singularName": _singular(resource),
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(resource.verbs),
    }
    if resource.short:
        entry["shortNames"] = list(resource.short)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    entries = [entry]
    for name in sorted(resource.subresources):
        (group, version, kind), verbs = subresource_kind(resource, name)
        below = {
            "name": f"{resource.plural}/{name}",
            "singularName": "",
            "namespaced": resource.namespaced,
            "kind": kind,
            "verbs": list(verbs),
        }
        if (group, version) != (resource.group, resource.version):
            below |= {"group": group, "version": version}
        entries.append(below)
    return entries


def _singular(resource: Resource) -> str:
    return resource.singular or resource.kind.lower()
