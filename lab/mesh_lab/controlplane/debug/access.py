"""Access to the debug interface: from istiod's own loopback, and with a service-account token, as proxies have one.

As with Istio, the tokens of its own namespace open all of it; those of others the configuration of their own proxies. A
port forward ends on the loopback, and so needs no token. Source: pilot/pkg/xds/debug.go of Istio 1.30.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from mesh_lab.controlplane.delivery.identity import Authenticator, Unauthenticated
from mesh_lab.controlplane.kube.client import ApiError, Unreachable
from mesh_lab.debugidentity import HEADER

_PREFIX = "/debug/"
_OF_NAMESPACES = frozenset({"/debug/config_dump", "/debug/edsz"})
# The namespace whose proxies the caller may see; none means all.
NAMESPACE: web.RequestKey[str] = web.RequestKey("namespace", str)


def guard(
    authenticator: Authenticator, own_namespace: str, is_local: Callable[[web.Request], bool] | None = None
) -> Middleware:
    """A middleware that answers 401 without an identity, and 403 where the identity does not suffice."""
    local = is_local or _is_local

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith(_PREFIX) and not local(request):
            namespace = await _namespace(request, authenticator)
            if namespace != own_namespace:
                if request.path not in _OF_NAMESPACES:
                    raise web.HTTPForbidden(text=f"{request.path} is for service accounts of {own_namespace}\n")
                request[NAMESPACE] = namespace
        return await handler(request)

    return check


async def _namespace(request: web.Request, authenticator: Authenticator) -> str:
    """The namespace of the caller's service account."""
    shown = request.headers.get(HEADER) or request.headers.get("Authorization") or ""
    try:
        return (await authenticator.account(shown)).namespace
    except Unauthenticated as error:
        hint = "kubectl -n istio-system port-forward deploy/istiod 15014 asks from istiod's own loopback"
        raise web.HTTPUnauthorized(text=f"{error}\n{hint}\n", headers={"WWW-Authenticate": "Bearer"}) from None
    except (ApiError, Unreachable) as error:
        raise web.HTTPServiceUnavailable(text=f"the API server cannot be asked about the token: {error}\n") from None


def _is_local(request: web.Request) -> bool:
    return ipaddress.ip_address(request.remote).is_loopback if request.remote else False
