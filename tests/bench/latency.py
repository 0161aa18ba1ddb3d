"""How long a change takes from the store to the proxies.

`serving` is from the API's answer to a change (it is stored then) to the first response that Envoy makes of it, asked
for over and over on one connection; so it holds half a poll and a request too. `acknowledged` is until the last of all
sidecars that a change concerns has acknowledged it, as `mesh-lab wait` sees it. Milliseconds.
"""

from __future__ import annotations

import http.client
import math
import time
from collections.abc import Callable
from typing import Any

from mesh_lab.client.api import Api
from mesh_lab.client.controlplane import status_of
from mesh_lab.client.objects import Reference

NAMESPACE = "default"
LIMIT_S = 10.0
PAUSE_S = 0.02
NETWORKING = "networking.istio.io/v1"
FRONT = Reference(NETWORKING, "VirtualService", "bench-front", NAMESPACE)
INNER = Reference(NETWORKING, "VirtualService", "bench-inner", NAMESPACE)
PATH = "/bench-probe"


def serving(api: Api, port: int, changes: int) -> list[float]:
    """Change what the gateway answers on `PATH`, as often as asked, and see it answered."""
    api.apply(_front(0))
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT_S)
    try:
        _until(lambda: _answer(connection) == "0")
        return [_flip(api, connection, number) for number in range(1, changes + 1)]
    finally:
        connection.close()
        api.delete(FRONT)


def acknowledged(api: Api, changes: int) -> list[float]:
    """Change a route that every sidecar has, as often as asked, and wait until all have acknowledged it."""
    api.apply(_inner(0))
    asked = status_of(api, findings=False)
    asked.mesh()  # the first question to istiod shows who asks
    try:
        figures = []
        for number in range(1, changes + 1):
            api.apply(_inner(number))
            stored = time.perf_counter()
            state = asked.config(INNER, wait=LIMIT_S)
            if not state.live or not state.proxies:
                raise AssertionError(f"change {number} is not live within {LIMIT_S:g} s: {state}")
            figures.append((time.perf_counter() - stored) * 1000)
            time.sleep(PAUSE_S)
        return figures
    finally:
        api.delete(INNER)


def quantiles(figures: list[float]) -> dict[str, Any]:
    """p50, p90, p99 and the largest, with how many there were."""
    ordered = sorted(figures)

    def at(share: float) -> float:
        return round(ordered[math.ceil(len(ordered) * share) - 1], 2)

    return {"changes": len(ordered), "p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "max": at(1.0)}


def _flip(api: Api, connection: http.client.HTTPConnection, number: int) -> float:
    api.apply(_front(number))
    stored = time.perf_counter()
    _until(lambda: _answer(connection) == str(number))
    took = (time.perf_counter() - stored) * 1000
    # Let the lab come to rest, so that each change is measured for itself.
    time.sleep(PAUSE_S)
    return took


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"the gateway does not serve the change within {LIMIT_S:g} s")


def _answer(connection: http.client.HTTPConnection) -> str:
    connection.request("GET", PATH)
    with connection.getresponse() as response:
        return response.read().decode("utf-8", "replace")


def _front(number: int) -> dict[str, Any]:
    route = {"match": [{"uri": {"exact": PATH}}], "directResponse": {"status": 200, "body": {"string": str(number)}}}
    spec = {"hosts": ["*"], "gateways": ["bookinfo-gateway"], "http": [route]}
    return _virtual_service(FRONT, spec)


def _inner(number: int) -> dict[str, Any]:
    headers = {"response": {"set": {"x-bench": str(number)}}}
    return _virtual_service(
        INNER, {"hosts": ["details"], "http": [{"route": [{"destination": {"host": "details"}}], "headers": headers}]}
    )


def _virtual_service(ref: Reference, spec: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": ref.api_version,
        "kind": ref.kind,
        "metadata": {"name": ref.name, "namespace": ref.namespace},
        "spec": spec,
    }
