"""`mesh-lab-app ext-authz`: the external authorizer of Istio's sample, over HTTP (8000) and gRPC (9000).

A request is allowed that has the header `x-ext-authz: allow`, or, where it has none, that a workload of the service
account `a` sends (only gRPC tells the workload). Envoy's protocol:
https://www.envoyproxy.io/docs/envoy/latest/api-v3/service/auth/v3/external_auth.proto
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mesh_lab.apps.grpc import wire
from mesh_lab.apps.grpc.server import GrpcServer
from mesh_lab.apps.http import server as http
from mesh_lab.apps.http.messages import Request, Response
from mesh_lab.apps.service import log

HEADER = "x-ext-authz"
ALLOW = "allow"
RESULT = "x-ext-authz-check-result"
RECEIVED = "x-ext-authz-check-received"
OVERRIDE = "x-ext-authz-additional-header-override"
OVERRIDE_OF_GRPC = "grpc-additional-header-override-value"
DENIAL = f"denied by ext_authz for not found header `{HEADER}: {ALLOW}` in the request"

_MAX_HEADER = 60_000  # Envoy refuses headers of more than 60 KiB
_PERMISSION_DENIED = 7
_FORBIDDEN = 403


async def check_http(request: Request) -> Response:
    """Envoy's request over HTTP: the checked request's method, path and headers."""
    body = request.body.decode("utf-8", "replace")
    headers = " ".join(f"{name}:[{value}]" for name, value in sorted(request.headers.joined().items()))
    host = request.headers.get("host")
    seen = f"{request.method} {host}{request.target}, headers: map[{headers}], body: [{_bounded(body)}]"
    allowed = request.headers.get(HEADER) == ALLOW
    _log("HTTP", allowed, seen)
    fields = {
        RESULT: "allowed" if allowed else "denied",
        OVERRIDE: request.headers.get(OVERRIDE),
        RECEIVED: _printable(seen),
    }
    return Response(200 if allowed else _FORBIDDEN, b"" if allowed else DENIAL.encode(), headers=fields)


@dataclass(frozen=True)
class Attributes:
    """What a CheckRequest tells of the request and its two sides."""

    source: str
    destination: str
    method: str
    host: str
    path: str
    headers: Mapping[str, str]

    @classmethod
    def read(cls, message: bytes) -> Attributes:
        """Read a CheckRequest.

        Raises:
            WireError: it is none.
        """
        attributes = wire.message(wire.decode(message), 1)
        request = wire.message(wire.message(attributes, 4), 2)
        return cls(
            source=wire.text(wire.message(attributes, 1), 4),
            destination=wire.text(wire.message(attributes, 2), 4),
            method=wire.text(request, 2),
            host=wire.text(request, 5),
            path=wire.text(request, 4),
            headers=wire.texts(request, 3),
        )

    def shown(self) -> str:
        """One line, in the way of protobuf's text format."""
        headers = " ".join(f'headers:{{key:"{name}" value:"{value}"}}' for name, value in sorted(self.headers.items()))
        http = f'method:"{self.method}" {headers} path:"{self.path}" host:"{self.host}"'
        sides = f'source:{{principal:"{self.source}"}} destination:{{principal:"{self.destination}"}}'
        return _printable(f"{sides} request:{{http:{{{http}}}}}")


class Grpc:
    """The check over gRPC, in both versions of Envoy's API, which have the same fields."""

    def __init__(self, service_account: str) -> None:
        self._allowed_source = f"/sa/{service_account}"

    async def check(self, message: bytes, request: Request) -> bytes:
        """A CheckRequest's CheckResponse."""
        seen = Attributes.read(message)
        if HEADER in seen.headers:
            allowed = seen.headers[HEADER] == ALLOW
        else:
            allowed = seen.source.endswith(self._allowed_source)
        version = "v2" if ".v2." in request.path else "v3"
        _log(f"gRPC{version}", allowed, f"{seen.host}{seen.path}, attributes: {seen.shown()}")
        return _answer(seen, allowed=allowed)


def _answer(seen: Attributes, *, allowed: bool) -> bytes:
    result = "allowed" if allowed else "denied"
    fields = {RESULT: result, RECEIVED: seen.shown(), OVERRIDE: OVERRIDE_OF_GRPC}
    options = [wire.encode({1: wire.encode({1: name, 2: value})}) for name, value in fields.items()]
    if allowed:
        # The status is there and empty: its code is 0, OK.
        return wire.encode({1: [b""], 3: wire.encode({2: options})})
    denied = wire.encode({1: wire.encode({1: _FORBIDDEN}), 2: options, 3: DENIAL})
    return wire.encode({1: wire.encode({1: _PERMISSION_DENIED}), 2: denied})


def _log(protocol: str, allowed: bool, text: str) -> None:
    _note(f"[{protocol}][{'allowed' if allowed else 'denied'}]: {text}")


def _note(text: str) -> None:
    log(f"{time.strftime('%Y/%m/%d %H:%M:%S', time.gmtime())} {text}")


def _bounded(text: str) -> str:
    return text if len(text) <= _MAX_HEADER else "<too-long>"


def _printable(text: str) -> str:
    clean = "".join(c if c.isprintable() else " " for c in text)
    return _bounded(clean.encode("latin-1", "replace").decode("latin-1"))


def main(arguments: Sequence[str]) -> int:
    """Serve until SIGTERM; exit code 1 when a port cannot be opened."""
    parser = argparse.ArgumentParser(prog="ext-authz", description=f"Allows requests with {HEADER}: {ALLOW}.")
    parser.add_argument("-http", "--http", type=int, default=8000)
    parser.add_argument("-grpc", "--grpc", type=int, default=9000)
    parser.add_argument("-allow_service_account", "--allow_service_account", default="a")
    options = parser.parse_args(arguments)
    return asyncio.run(_run(options.http, options.grpc, options.allow_service_account))


async def _run(http_port: int, grpc_port: int, service_account: str) -> int:
    stop = http.stop_requested()
    check = Grpc(service_account).check
    methods = {f"/envoy.service.auth.{version}.Authorization/Check": check for version in ("v2", "v3")}
    servers = {"HTTP": (http.Server(check_http), http_port), "gRPC": (http.Server(GrpcServer(methods)), grpc_port)}
    for name, (server, port) in servers.items():
        try:
            _note(f"Starting {name} server at [::]:{await server.listen(None, port)}")
        except OSError as error:
            _note(f"Failed to start {name} server: {error.strerror or error}")
            return 1
    await stop.wait()
    await asyncio.gather(*(server.finish(http.LINGER_SECONDS) for server, _ in servers.values()))
    return 0
