"""OpenAPI v3: a document a group and version, which kubectl validates manifests and explains fields with.

Component schemas are the published ones (`mesh_lab.kube.schemas`) for built-in kinds, and those of their definitions
for custom resources. kubectl wants of a path its operations with group, version, kind and action, and `fieldValidation`
among the parameters of a write: without that it believes that the server cannot validate.
https://kubernetes.io/docs/concepts/overview/kubernetes-api/#openapi-v3
"""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import web

from mesh_lab.kube.api.bodies.answers import json_response
from mesh_lab.kube.api.context import INFO, REGISTRY
from mesh_lab.kube.api.discovery import grouped, subresource_kind
from mesh_lab.kube.errors import ApiError
from mesh_lab.kube.registry.registry import Registry
from mesh_lab.kube.resources import CRDS, Resource
from mesh_lab.kube.schemas import OBJECT_META, definition_name, definitions

_FAST = 1
_PREFIX = "#/components/schemas/"
_REFERENCE = re.compile(rb'"\$ref": ?"' + _PREFIX.encode() + rb'([^"]+)"')
_STRATEGIC = "application/strategic-merge-patch+json"
_PATCH_TYPES = (
    "application/json-patch+json",
    "application/merge-patch+json",
    _STRATEGIC,
    "application/apply-patch+yaml",
)
_OLD_TYPE = "application/com.github.proto-openapi.spec.v2"
_TEXT = {"type": "string", "uniqueItems": True}
_FLAG = {"type": "boolean", "uniqueItems": True}
_NUMBER = {"type": "integer", "uniqueItems": True}
_WRITE_PARAMETERS = (("dryRun", _TEXT), ("fieldManager", _TEXT), ("fieldValidation", _TEXT))
_LIST_PARAMETERS = (
    ("allowWatchBookmarks", _FLAG),
    ("continue", _TEXT),
    ("fieldSelector", _TEXT),
    ("labelSelector", _TEXT),
    ("limit", _NUMBER),
    ("resourceVersion", _TEXT),
    ("resourceVersionMatch", _TEXT),
    ("sendInitialEvents", _FLAG),
    ("timeoutSeconds", _NUMBER),
    ("watch", _FLAG),
)
_DELETE_PARAMETERS = (
    ("dryRun", _TEXT),
    ("gracePeriodSeconds", _NUMBER),
    ("orphanDependents", _FLAG),
    ("propagationPolicy", _TEXT),
)
_PARAMETERS: Mapping[str, tuple[tuple[str, Mapping[str, Any]], ...]] = {
    "list": _LIST_PARAMETERS,
    "get": (),
    "post": _WRITE_PARAMETERS,
    "put": _WRITE_PARAMETERS,
    "patch": (*_WRITE_PARAMETERS, ("force", _FLAG)),
    "delete": _DELETE_PARAMETERS,
    "deletecollection": (*_LIST_PARAMETERS[2:8], *_DELETE_PARAMETERS),
}
_METHODS = {"list": "get", "deletecollection": "delete"}
_VERB_ACTIONS = {"create": "post", "update": "put"}
_COLLECTION_ACTIONS = ("list", "post", "deletecollection")
_OBJECT_ACTIONS = ("get", "put", "patch", "delete")


@dataclass(frozen=True)
class _Document:
    """A document as JSON, packed: together they are over a megabyte, and kubectl takes them packed."""

    packed: bytes
    digest: str


class _Documents:
    """The documents of the served resources. One is made anew when its resources change, or a definition of theirs."""

    def __init__(self) -> None:
        self._generation: tuple[int, int] | None = None
        self._served: Mapping[str, list[Resource]] = {}
        self._made: dict[str, _Document] = {}

    def paths(self, registry: Registry) -> Iterable[str]:
        """The paths at which there are documents, such as `api/v1` or `apis/apps/v1`."""
        self._refresh(registry)
        return self._served

    def path(self, registry: Registry, version: str, path: str) -> _Document | None:
        """Return the document at a path; None when nothing is served there."""
        self._refresh(registry)
        resources = self._served.get(path)
        if path not in self._made and resources is not None:
            body = orjson.dumps(_document(registry, resources, version))
            packed = gzip.compress(body, _FAST, mtime=0)
            self._made[path] = _Document(packed, hashlib.sha512(body).hexdigest().upper())
        return self._made.get(path)

    def _refresh(self, registry: Registry) -> None:
        """Forget what has changed: built-in kinds never do, which spares 0.1 s after each new definition."""
        generation = (id(registry), registry.resources.generation)
        if generation == self._generation:
            return
        before, self._served = self._served, _served(registry)
        self._made = {
            path: made
            for path, made in self._made.items()
            if self._served.get(path) == before[path]
            and not any(registry.resources.is_custom(resource) for resource in before[path])
        }
        self._generation = generation


_DOCUMENTS: web.AppKey[_Documents] = web.AppKey("openapi", _Documents)


def add_routes(app: web.Application) -> None:
    """Serve the index and the documents."""
    app[_DOCUMENTS] = _Documents()
    app.router.add_get("/openapi/v3", _index)
    app.router.add_get("/openapi/v3/{path:.+}", _one)
    app.router.add_get("/openapi/v2", _old)


async def _index(request: web.Request) -> web.Response:
    registry, version, documents = request.app[REGISTRY], request.app[INFO].version, request.app[_DOCUMENTS]
    paths = {}
    for path in documents.paths(registry):
        document = documents.path(registry, version, path)
        if document is not None:
            paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={document.digest}"}
    return json_response({"paths": paths})


async def _one(request: web.Request) -> web.Response:
    registry, version = request.app[REGISTRY], request.app[INFO].version
    document = request.app[_DOCUMENTS].path(registry, version, request.match_info["path"].rstrip("/"))
    if document is None:
        raise ApiError(404, "NotFound", "the server could not find the requested resource")
    headers = {"Content-Type": "application/json", "ETag": f'"{document.digest}"', "Vary": "Accept-Encoding"}
    if "gzip" in request.headers.get("Accept-Encoding", ""):
        return web.Response(body=document.packed, headers={**headers, "Content-Encoding": "gzip"})
    return web.Response(body=gzip.decompress(document.packed), headers=headers)


async def _old(request: web.Request) -> web.Response:
    """Return an empty OpenAPI v2 document, which kubectl requests when v3 does not know a kind.

    client-go accepts it as protobuf only: gnostic's `Document` of `swagger` (1), `info` (2: title 1, version 2).
    """
    version = request.app[INFO].version
    if _OLD_TYPE not in request.headers.get("Accept", ""):
        info = {"title": "Kubernetes", "version": version}
        return json_response({"swagger": "2.0", "info": info, "paths": {}, "definitions": {}})
    described = _text_field(1, b"Kubernetes") + _text_field(2, version.encode())
    return web.Response(
        body=_text_field(1, b"2.0") + _text_field(2, described), headers={"Content-Type": "application/octet-stream"}
    )


def _text_field(number: int, text: bytes) -> bytes:
    """Encode a protobuf text field of under 128 bytes."""
    return bytes((number << 3 | 2, len(text))) + text


def _served(registry: Registry) -> dict[str, list[Resource]]:
    """Group resources by the path of their group and version."""
    return {
        (f"apis/{group}/{version}" if group else f"api/{version}"): resources
        for group, versions in grouped(registry.resources.all()).items()
        for version, resources in versions.items()
    }


def _document(registry: Registry, resources: Iterable[Resource], version: str) -> dict[str, Any]:
    components = _Components(registry)
    paths: dict[str, Any] = {}
    for resource in resources:
        own = components.add(resource)
        # kubectl reads off a patch's types whether it may send a strategic one, which custom resources do not take.
        custom = registry.resources.is_custom(resource)
        patches = [media for media in _PATCH_TYPES if not (custom and media == _STRATEGIC)]
        for path, gvk, schema, actions in _paths(components, resource, own):
            operations = {_METHODS.get(action, action): _operation(action, gvk, schema, patches) for action in actions}
            names = [name for name in ("namespace", "name") if f"{{{name}}}" in path]
            paths[path] = {"parameters": [_parameter(name, _TEXT, "path") for name in names], **operations}
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": version},
        "paths": paths,
        "components": {"schemas": components.schemas},
    }


_Gvk = tuple[str, str, str]


def _paths(components: _Components, resource: Resource, own: str) -> Iterator[tuple[str, _Gvk, str, list[str]]]:
    """Yield (path, (group, version, kind), name of the schema, actions) of a resource."""
    base = f"/apis/{resource.group}/{resource.version}" if resource.group else f"/api/{resource.version}"
    gvk = (resource.group, resource.version, resource.kind)
    verbs = {_VERB_ACTIONS.get(verb, verb) for verb in resource.verbs}
    if resource.namespaced and "list" in verbs:
        yield f"{base}/{resource.plural}", gvk, own, ["list"]
    collection = (
        f"{base}/namespaces/{{namespace}}/{resource.plural}" if resource.namespaced else f"{base}/{resource.plural}"
    )
    yield collection, gvk, own, [action for action in _COLLECTION_ACTIONS if action in verbs]
    if "get" in verbs:
        yield f"{collection}/{{name}}", gvk, own, [action for action in _OBJECT_ACTIONS if action in verbs]
    for name in sorted(resource.subresources):
        kind, below_verbs = subresource_kind(resource, name)
        schema = components.builtin(*kind) or own
        actions = sorted({_VERB_ACTIONS.get(verb, verb) for verb in below_verbs})
        yield f"{collection}/{{name}}/{name}", kind, schema, actions


def _operation(action: str, gvk: _Gvk, schema: str, patches: Iterable[str]) -> dict[str, Any]:
    group, version, kind = gvk
    content = {"schema": {"$ref": _PREFIX + schema}}
    operation: dict[str, Any] = {
        "parameters": [_parameter(name, value, "query") for name, value in _PARAMETERS[action]],
        "responses": {"200": {"description": "OK", "content": {"application/json": content}}},
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": {"group": group, "version": version, "kind": kind},
    }
    if action in ("post", "put"):
        operation["requestBody"] = {"content": {"*/*": content}, "required": True}
    elif action == "patch":
        operation["requestBody"] = {"content": {media: {"schema": {"type": "object"}} for media in patches}}
    return operation


def _parameter(name: str, schema: Mapping[str, Any], place: str) -> dict[str, Any]:
    return {"name": name, "in": place, "schema": schema, **({"required": True} if place == "path" else {})}


class _Components:
    """The component schemas of one document, with all that they refer to."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self.schemas: dict[str, Any] = {}

    def add(self, resource: Resource) -> str:
        """Add the schema of a resource's objects, and return its name."""
        if not self._registry.resources.is_custom(resource):
            name = definition_name(resource.api_version, resource.kind)
            self._include(name)
            return name
        reversed_group = ".".join(reversed(resource.group.split(".")))
        name = f"{reversed_group}.{resource.version}.{resource.kind}"
        self.schemas[name] = self._custom(resource)
        self._include(OBJECT_META)
        return name

    def builtin(self, group: str, version: str, kind: str) -> str | None:
        """Add the schema of a built-in kind, and return its name; None when it has none."""
        try:
            name = definition_name(f"{group}/{version}" if group else version, kind)
        except KeyError:
            return None
        self._include(name)
        return name

    def _include(self, name: str) -> None:
        waiting = [name]
        while waiting:
            found = waiting.pop()
            if found not in self.schemas:
                text = definitions()[found]
                self.schemas[found] = orjson.Fragment(text)
                waiting.extend(name.decode() for name in _REFERENCE.findall(text))

    def _custom(self, resource: Resource) -> dict[str, Any]:
        crd = self._registry.get(CRDS, resource.key)
        version = next(v for v in crd["spec"]["versions"] if v["name"] == resource.version)
        schema = dict((version.get("schema") or {}).get("openAPIV3Schema") or {"type": "object"})
        schema["properties"] = {
            **schema.get("properties", {}),
            "apiVersion": {"type": "string", "description": "The version of this representation of the object."},
            "kind": {"type": "string", "description": "The kind of the object."},
            "metadata": {"allOf": [{"$ref": _PREFIX + OBJECT_META}], "description": "Standard object's metadata."},
        }
        schema["x-kubernetes-group-version-kind"] = [
            {"group": resource.group, "version": resource.version, "kind": resource.kind}
        ]
        return schema
