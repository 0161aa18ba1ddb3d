"""A webhook's server for the tests of admission, and the configurations that lead to it."""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from mesh_lab.kube import pki
from mesh_lab.kube.api import Webhooks
from mesh_lab.kube.registry import Registry
from mesh_lab.kube.resources import ENDPOINTSLICES, NAMESPACES, SERVICES

Answer = Callable[[dict[str, Any]], dict[str, Any] | Awaitable[dict[str, Any] | web.Response]]
"""The response to a request; or the whole of what is sent."""


@dataclass
class Hook:
    """A webhook's server: what it was asked, and what it answers."""

    port: int
    bundle: str
    answer: Answer
    version: str = "v1"
    asked: list[dict[str, Any]] = field(default_factory=list)


def allow(request: dict[str, Any]) -> dict[str, Any]:
    return {"uid": request["uid"], "allowed": True}


def patching(*operations: dict[str, Any]) -> Answer:
    encoded = base64.b64encode(json.dumps(operations).encode()).decode()
    return lambda request: {**allow(request), "patchType": "JSONPatch", "patch": encoded}


def stamp(key: str) -> Answer:
    """Write into the object's data what the webhook saw of it, so that the order of calls can be read off."""

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        seen = ",".join(sorted(request["object"].get("data", {})))
        return dict(patching({"op": "add", "path": f"/data/{key}", "value": seen})(request))

    return answer


@asynccontextmanager
async def serving(registry: Registry, directory: Path) -> AsyncIterator[Hook]:
    """A webhook behind the service `hooks/injector`, with a certificate for its service's name."""
    made = pki.ensure(directory / "hook-pki", ["injector.hooks.svc"])
    hook = Hook(0, base64.b64encode(made.authority_pem.encode()).decode(), allow)

    async def review(request: web.Request) -> web.Response:
        asked = (await request.json())["request"]
        hook.asked.append(asked)
        answer = hook.answer(asked)
        response = answer if isinstance(answer, dict) else await answer
        if isinstance(response, web.Response):
            return response
        return web.json_response(
            {"apiVersion": f"admission.k8s.io/{hook.version}", "kind": "AdmissionReview", "response": response}
        )

    app = web.Application()
    app.router.add_post("/inject", review)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(made.server.certificate, made.server.key)
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    hook.port = runner.addresses[0][1]
    await registry.create(NAMESPACES, {"metadata": {"name": "hooks"}})
    await registry.create(
        SERVICES,
        {"metadata": {"name": "injector"}, "spec": {"ports": [{"name": "https", "port": 443}]}},
        namespace="hooks",
    )
    await registry.create(ENDPOINTSLICES, endpoint_slice(hook.port), namespace="hooks")
    registry.admission = Webhooks(registry)
    yield hook
    await runner.cleanup()


def endpoint_slice(port: int, *, ready: bool = True) -> dict[str, Any]:
    return {
        "metadata": {"name": "injector-1", "labels": {"kubernetes.io/service-name": "injector"}},
        "addressType": "IPv4",
        "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
        "endpoints": [{"addresses": ["127.0.0.1"], "conditions": {"ready": ready}}],
    }


def configuration(hook: Hook, name: str = "injector", **changes: Any) -> dict[str, Any]:
    spec = {
        "name": f"{name}.lab.test",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "clientConfig": {
            "service": {"namespace": "hooks", "name": "injector", "path": "/inject"},
            "caBundle": hook.bundle,
        },
        "rules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}],
        **changes,
    }
    return {"metadata": {"name": name}, "webhooks": [spec]}


def config_map(name: str = "cm", **metadata: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **metadata}, "data": {"a": "1"}}
