"""Routes a request for a resource to the function that answers it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from mesh_lab.kube.api import proxying
from mesh_lab.kube.api.context import REGISTRY, USER, Call, Target, parse_path, request_warnings
from mesh_lab.kube.api.rest import actions, connecting, objects, reviews, scale, watches
from mesh_lab.kube.api.streaming import execution, logs, port_forwarding
from mesh_lab.kube.errors import ApiError, unauthorized

Handler = Callable[[Call], Awaitable[web.StreamResponse]]

_COLLECTION: Mapping[str, tuple[str, Handler]] = {
    "GET": ("list", objects.list_),
    "HEAD": ("list", objects.list_),
    "POST": ("create", objects.create),
    "DELETE": ("deletecollection", objects.delete_collection),
}
_OBJECT: Mapping[str, tuple[str, Handler]] = {
    "GET": ("get", objects.get),
    "HEAD": ("get", objects.get),
    "PUT": ("update", objects.update),
    "PATCH": ("patch", objects.patch),
    "DELETE": ("delete", objects.delete),
}
_PART: Mapping[str, tuple[str, Handler]] = {key: _OBJECT[key] for key in ("GET", "HEAD", "PUT", "PATCH")}
"""Subresources that are a part of the object itself."""

_SUBRESOURCES: Mapping[str, Mapping[str, tuple[str, Handler]]] = {
    "binding": {"POST": ("create", actions.bind)},
    "attach": {"GET": ("get", execution.attach), "POST": ("create", execution.attach)},
    "ephemeralcontainers": _PART,
    "exec": {"GET": ("get", execution.run), "POST": ("create", execution.run)},
    "eviction": {"POST": ("create", actions.evict)},
    "finalize": {"PUT": ("update", objects.update)},
    "log": {"GET": ("get", logs.get)},
    "portforward": {
        "GET": ("get", port_forwarding.forward),
        "POST": ("create", port_forwarding.forward),
    },
    "proxy": {
        "GET": ("get", proxying.proxy),
        "HEAD": ("get", proxying.proxy),
        "OPTIONS": ("get", proxying.proxy),
        "POST": ("create", proxying.proxy),
        "PUT": ("update", proxying.proxy),
        "PATCH": ("patch", proxying.proxy),
        "DELETE": ("delete", proxying.proxy),
    },
    "scale": {"GET": ("get", scale.get), "PUT": ("update", scale.update), "PATCH": ("patch", scale.patch)},
    "status": _PART,
    "token": {"POST": ("create", actions.token)},
}


async def handle(request: web.Request) -> web.StreamResponse:
    """Answer a request for a resource.

    Raises:
        ApiError: 404, the path is unknown.
    """
    user = request.get(USER)
    if user is None:
        raise unauthorized()
    target = parse_path(request.rel_url.raw_path)
    registry = request.app[REGISTRY]
    if target is None:
        raise unknown()
    resource = registry.resources.by_path(target.group, target.version, target.plural)
    if resource is None:
        raise unknown()
    call = Call(request, registry, resource, target, user, request_warnings())
    verb, handler = _choose(call)
    call.require(verb)
    if (served := registry.resources.served(resource)) is not None and served.deprecation:
        call.warnings.append(served.deprecation)
    if target.subresource in connecting.KINDS:
        await connecting.admit(call)
    return await handler(call)


def unknown() -> ApiError:
    """404: the path is unknown."""
    return ApiError(404, "NotFound", "the server could not find the requested resource", details={})


def not_allowed() -> ApiError:
    """405: the path does not support this method."""
    return ApiError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")


def _choose(call: Call) -> tuple[str, Handler]:
    method, target, resource = call.request.method, call.target, call.resource
    if target.subresource:
        return _choose_subresource(method, target, call)
    if not resource.stored:
        if method != "POST" or target.name:
            raise not_allowed()
        return "create", reviews.create
    if resource.namespaced and target.name and not target.namespace:
        raise unknown()
    if resource.namespaced and not target.namespace and method in ("POST", "DELETE"):
        # Objects of all namespaces are read together, but neither made nor deleted.
        raise not_allowed()
    table = _OBJECT if target.name else _COLLECTION
    if method not in table:
        raise not_allowed()
    verb, handler = table[method]
    if method == "GET" and call.flag("watch"):
        verb, handler = "watch", watches.watch
    if verb not in resource.verbs:
        raise not_allowed()
    return verb, handler


def _choose_subresource(method: str, target: Target, call: Call) -> tuple[str, Handler]:
    if target.subresource not in call.resource.subresources or not target.name:
        raise unknown()
    table = _SUBRESOURCES.get(target.subresource, {})
    if method not in table:
        raise not_allowed()
    return table[method]
