"""istiod's pages over HTTP: readiness, metrics, and the state of the proxies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.json_format import MessageToDict

from mesh_lab.controlplane.debug.access import NAMESPACE
from mesh_lab.controlplane.debug.istiopages import IstioPages
from mesh_lab.controlplane.delivery.messages import Desired, Resource
from mesh_lab.controlplane.delivery.push import Pusher
from mesh_lab.controlplane.delivery.state import ClusterState
from mesh_lab.controlplane.delivery.tracking import Tracker
from mesh_lab.controlplane.kube.client import ApiError, KubeClient, Unreachable
from mesh_lab.controlplane.kube.kinds import FOLLOWED
from mesh_lab.controlplane.process.metrics import Metrics
from mesh_lab.controlplane.xds.typeurls import SDS
from mesh_lab.istioversion import STATEMENT

LONGEST_WAIT = 300.0
# How long an error may last, for it may be corrected at once: by the rest of a file that is being applied, or another
# kind's watch.
_PATIENCE = 0.5


class _Verdict(NamedTuple):
    """How to write an answer as JSON; whether it is `live`, or cannot become so without an edit."""

    document: Callable[[], dict[str, Any]]
    good: bool
    hopeless: bool


def build_app(
    api: KubeClient,
    state: ClusterState,
    pusher: Pusher,
    tracker: Tracker,
    metrics: Metrics,
    ready: Callable[[], bool],
    access: Middleware,
    istio: IstioPages,
) -> web.Application:
    """The application on the monitoring port; `access` decides which callers may read what.

    Beside Istio's own pages it has `/debug/config`, `/debug/proxies` and `/debug/synced`, which only this control plane
    has; and `/debug/config_dump?proxy=`, which has versions.
    """
    app = web.Application(middlewares=[access])

    async def moved(deadline: float) -> bool:
        """Wait for the next change; False when the time is up."""
        left = deadline - asyncio.get_running_loop().time()
        return left > 0 and await state.progress.wait(left)

    async def decided(ask: Callable[[], _Verdict], deadline: float) -> web.Response:
        """Answer once the state is good, when for a while only an edit could make it so, or when the time is up."""
        patience: float | None = None
        while True:
            verdict = ask()
            if not verdict.hopeless:
                patience = None
            elif patience is None:
                patience = asyncio.get_running_loop().time() + _PATIENCE
            until = deadline if patience is None else min(deadline, patience)
            if verdict.good or not await moved(until):
                return _json(verdict.document())

    async def readiness(_: web.Request) -> web.Response:
        return web.Response(text="ready\n") if ready() else web.Response(text="not ready\n", status=503)

    async def figures(_: web.Request) -> web.Response:
        return web.Response(text=metrics.text(), content_type="text/plain")

    async def proxies(_: web.Request) -> web.Response:
        return _json(tracker.proxies())

    async def version(_: web.Request) -> web.Response:
        return web.Response(text=STATEMENT)

    def page(name: str) -> Handler:
        async def answer(request: web.Request) -> web.StreamResponse:
            try:
                made = await istio.page(name, request.query, request.get(NAMESPACE, ""))
            except (ApiError, Unreachable) as error:
                raise web.HTTPServiceUnavailable(text=f"the API server does not answer: {error}\n") from None
            kind = "application/json" if made.is_json else "text/plain"
            return web.Response(status=made.status, body=made.body, content_type=kind)

        return answer

    async def synced(request: web.Request) -> web.Response:
        def ask() -> _Verdict:
            answer = tracker.synced()
            return _Verdict(lambda: answer, answer["synced"], answer["hopeless"])

        return await decided(ask, _deadline(request))

    async def config(request: web.Request) -> web.Response:
        kind, namespace, name = (request.query.get(part, "") for part in ("kind", "namespace", "name"))
        spelled = next((known for known in FOLLOWED if known.lower() == kind.lower()), None)
        if spelled is None or not name:
            known = ", ".join(sorted(FOLLOWED))
            raise web.HTTPBadRequest(text=f"give name and kind, which is one of {known}; kind is {kind!r}\n")
        deadline = _deadline(request)
        try:
            # The question is about the object as it is stored now, not as far as the watch has come.
            stored = await api.get(FOLLOWED[spelled], name, namespace)
        except (ApiError, Unreachable) as error:
            raise web.HTTPServiceUnavailable(text=f"the API server does not answer: {error}\n") from None
        version = stored["metadata"].get("resourceVersion", "") if stored is not None else None
        key = (spelled, namespace, name)

        def ask() -> _Verdict:
            answer = tracker.liveness(key, version)
            return _Verdict(answer.document, answer.live, answer.hopeless)

        return await decided(ask, deadline)

    istio_dump = page("config_dump")

    async def config_dump(request: web.Request) -> web.StreamResponse:
        if "proxy" not in request.query:
            return await istio_dump(request)
        wanted, namespace = request.query.get("proxy", ""), request.get(NAMESPACE)
        shown = [c for c in pusher.connections if namespace is None or c.proxy.namespace == namespace]
        found = next((c for c in shown if wanted in (c.name, c.proxy.pod)), None)
        if found is None:
            connected = ", ".join(c.name for c in shown) or "none"
            raise web.HTTPNotFound(text=f"no proxy {wanted!r} is connected; these are: {connected}\n")
        return _json(_dump(found.session.desired()))

    app.router.add_get("/ready", readiness)
    app.router.add_get("/metrics", figures)
    app.router.add_get("/version", version)
    app.router.add_get("//version", version)  # istioctl's way to ask
    app.router.add_get("/debug/config", config)
    app.router.add_get("/debug/config_dump", config_dump)
    app.router.add_get("/debug/proxies", proxies)
    app.router.add_get("/debug/synced", synced)
    for name in istio.names:
        if name != "config_dump":
            app.router.add_get(f"/debug/{name}", page(name))
    return app


def _deadline(request: web.Request) -> float:
    try:
        seconds = float(request.query.get("wait", "0"))
    except ValueError:
        raise web.HTTPBadRequest(text="wait is a number of seconds\n") from None
    return asyncio.get_running_loop().time() + min(max(seconds, 0.0), LONGEST_WAIT)


def _dump(desired: Desired) -> dict[str, list[dict[str, Any]]]:
    """What a proxy should have, as JSON; of secrets only the names."""
    return {
        url.rpartition(".")[2]: [
            {"name": resource.name, "version": resource.version, "resource": None if url == SDS else _decoded(resource)}
            for resource in resources.values()
        ]
        for url, resources in desired.items()
    }


def _decoded(resource: Resource) -> Any:
    message = AnyMessage.FromString(resource.body)
    try:
        return MessageToDict(message, preserving_proto_field_name=True)
    except TypeError as error:
        # A part of a type that this process has never loaded cannot be shown.
        return {"@type": message.type_url, "unreadable": str(error)}


def _json(content: object) -> web.Response:
    return web.Response(body=orjson.dumps(content), content_type="application/json")
