"""How Bookinfo's services find and call one another."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from mesh_lab.apps.http.answers import Answer
from mesh_lab.apps.http.client import Client, Origin
from mesh_lab.apps.http.messages import Request, Response

# Headers that a service passes on to those it calls, so that a trace or a routing rule follows the request:
# the request id, the usual tracing systems' contexts, the user and what rules commonly match on.
PROPAGATED = (
    "x-request-id",
    "traceparent",
    "tracestate",
    "b3",
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-flags",
    "x-ot-span-context",
    "x-cloud-trace-context",
    "x-datadog-trace-id",
    "x-datadog-parent-id",
    "x-datadog-sampling-priority",
    "grpc-trace-bin",
    "sw8",
    "end-user",
    "user-agent",
    "cookie",
    "authorization",
    "jwt",
)


def propagated(request: Request) -> dict[str, str]:
    """The headers of a request that travel on with the calls made for it."""
    return {name: value for name, value in request.headers.pairs if name in PROPAGATED}


class Upstream:
    """Another of the services, by the published variables: NAME_HOSTNAME, NAME_SERVICE_PORT and SERVICES_DOMAIN."""

    def __init__(self, name: str, timeout: float, environment: Mapping[str, str] | None = None) -> None:
        env = os.environ if environment is None else environment
        variable = name.upper()
        domain = env.get("SERVICES_DOMAIN", "")
        host = env.get(f"{variable}_HOSTNAME", name) + (f".{domain}" if domain else "")
        self.origin = Origin("http", host, int(env.get(f"{variable}_SERVICE_PORT", "9080")))
        # As in the published programs: a call on a connection of its own obeys the configuration of its moment.
        self._client = Client(self.origin, timeout=timeout, keep=False)

    async def get(self, path: str, headers: Mapping[str, str]) -> Answer:
        """GET a path.

        Raises:
            ApiError: no answer.
        """
        return await self._client.request("GET", path, headers)


def json_response(value: Any, status: int = 200) -> Response:
    """An answer in JSON."""
    return Response(status, json.dumps(value).encode(), "application/json")


def not_found(request: Request) -> Response:
    """The answer to a path that the service does not have."""
    return json_response({"error": f"there is no {request.path} here"}, 404)


def product_id(path: str, prefix: str) -> int | None:
    """The number that ends `prefix/NUMBER`, if the path is of that form."""
    rest = path.removeprefix(f"{prefix}/")
    return int(rest) if rest != path and rest.isascii() and rest.isdigit() and len(rest) < 10 else None
