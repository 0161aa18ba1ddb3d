"""The API server as an aiohttp application, and how it is served."""

from __future__ import annotations

import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence

from aiohttp import ClientConnectionResetError, web

from mesh_lab.kube.api import discovery, dispatch, health, openapi, proxying
from mesh_lab.kube.api.auth import Authorizer, PathAccess
from mesh_lab.kube.api.auth.authentication import Authenticator, impersonated
from mesh_lab.kube.api.auth.escalation import EscalationGuard
from mesh_lab.kube.api.bodies import answers
from mesh_lab.kube.api.connections import BUSY, Gate, Limits, http_logger, mark_busy
from mesh_lab.kube.api.context import (
    AUTHENTICATOR,
    AUTHORIZER,
    INFO,
    REGISTRY,
    STREAMS,
    USER,
    WARNINGS,
    ClusterInfo,
    parse_path,
)
from mesh_lab.kube.api.policies.admission import Policies
from mesh_lab.kube.api.streaming import machines
from mesh_lab.kube.api.webhooks.admission import Webhooks
from mesh_lab.kube.errors import ApiError, bad_request, internal
from mesh_lab.kube.registry.registry import Registry
from mesh_lab.kube.streams import NodeStreams

log = logging.getLogger(__name__)

BODY_LIMIT = 3 * 1024 * 1024
"""What a real API server takes at most."""
SHUTDOWN_SECONDS = 0.2
"""How long a stopped server waits for open watches."""
_LINE_LIMIT = 64 * 1024
"""Selectors and commands stand in the URL and can be long."""

_LIMITS = Limits()

_Next = Callable[[web.Request], Awaitable[web.StreamResponse]]


def build_app(
    registry: Registry, authenticator: Authenticator, streams: NodeStreams, info: ClusterInfo
) -> web.Application:
    """Build the application over a registry. `streams` is the node, which serves logs, commands and connections."""
    app = web.Application(middlewares=[mark_busy, _answer_errors, _authenticate], client_max_size=BODY_LIMIT)
    app[BUSY] = set()
    app[REGISTRY] = registry
    app[AUTHENTICATOR] = authenticator
    app[AUTHORIZER] = authorizer = Authorizer(registry)
    policies = Policies(registry.admission, registry, authorizer)
    registry.admission = EscalationGuard(policies, authorizer, registry)
    app[STREAMS] = streams
    app[INFO] = info
    app.cleanup_ctx.append(proxying.client_session)
    app.on_cleanup.append(_close_webhooks)
    health.add_routes(app)
    discovery.add_routes(app)
    openapi.add_routes(app)
    machines.add_routes(app)
    app.router.add_route("*", "/{path:.*}", dispatch.handle)
    return app


async def serve(
    app: web.Application, sockets: Sequence[socket.socket], context: ssl.SSLContext, limits: Limits = _LIMITS
) -> None:
    """Serve the application on bound sockets until the task is cancelled."""
    runner = web.AppRunner(
        app,
        access_log=None,
        handler_cancellation=True,
        shutdown_timeout=SHUTDOWN_SECONDS,
        keepalive_timeout=limits.idle_seconds,
        logger=http_logger(),
        max_line_size=_LINE_LIMIT,
        max_field_size=_LINE_LIMIT,
    )
    await runner.setup()
    server = runner.server
    assert server is not None
    try:
        await Gate(server, context, limits, app[BUSY]).serve(sockets)
    finally:
        for listener in sockets:
            listener.close()
        await runner.cleanup()


async def _close_webhooks(app: web.Application) -> None:
    admission = app[REGISTRY].admission
    while isinstance(admission, (EscalationGuard, Policies)):
        admission = admission.inner
    if isinstance(admission, Webhooks):
        await admission.close()


@web.middleware
async def _answer_errors(request: web.Request, handler: _Next) -> web.StreamResponse:
    """Every failure is answered with a `Status`, aiohttp's own included."""
    # One task answers all requests of a connection: the warnings of the request before must not stay.
    warnings: list[str] = []
    WARNINGS.set(warnings)
    try:
        return await handler(request)
    except ApiError as error:
        return answers.error_response(error, warnings)
    except web.HTTPException as error:
        return answers.error_response(_translated(error))
    except RecursionError:
        # An object may be nested too deeply for what lies between reading and writing.
        return answers.error_response(bad_request("the object is nested too deeply"))
    except ClientConnectionResetError:
        # The client left in the middle of the answer, so this one is not delivered.
        return web.Response()
    except ConnectionError:
        raise
    except Exception:
        log.exception("%s %s failed", request.method, request.path)
        return answers.error_response(internal("Internal error occurred: the lab's log says more"))


@web.middleware
async def _authenticate(request: web.Request, handler: _Next) -> web.StreamResponse:
    authenticator, authorizer = request.app[AUTHENTICATOR], request.app[AUTHORIZER]
    if health.is_open(request.path):
        authenticator.check_token(request.headers)
        return await handler(request)
    user = impersonated(authenticator.authenticate(request), request.headers, authorizer)
    if parse_path(request.rel_url.raw_path) is None:
        authorizer.require(user, PathAccess(request.method.lower(), request.path))
    request[USER] = user
    return await handler(request)


def _translated(error: web.HTTPException) -> ApiError:
    if error.status == 404:
        return dispatch.unknown()
    if error.status == 405:
        return dispatch.not_allowed()
    if error.status == 413:
        return answers.too_large(BODY_LIMIT)
    return bad_request(error.reason) if error.status < 500 else internal(error.reason)
