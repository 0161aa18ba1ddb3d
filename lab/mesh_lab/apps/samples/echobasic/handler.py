"""What echo-basic answers to requests: the request itself, as JSON.

https://github.com/kubernetes-sigs/gateway-api/tree/main/conformance/echo-basic
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mesh_lab.apps.http.messages import AbortConnection, Request, Response
from mesh_lab.apps.http.websocket import accept, echo
from mesh_lab.apps.samples.fortio.flags import duration
from mesh_lab.apps.service import log

_STATUS = re.compile(r"/status/(\d{3})")
_SET_HEADER = "x-echo-set-header"


@dataclass(frozen=True)
class Identity:
    """Where the server runs."""

    namespace: str = ""
    ingress: str = ""
    service: str = ""
    pod: str = ""
    http_port: str = "3000"

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Identity:
        """What the container's variables say."""
        return cls(
            environ.get("NAMESPACE", ""),
            environ.get("INGRESS_NAME", ""),
            environ.get("SERVICE_NAME", ""),
            environ.get("POD_NAME", ""),
            environ.get("HTTP_PORT") or "3000",
        )


class Echo:
    """The handler of the ports for HTTP and HTTPS. It counts the attempts of requests that are to fail at first."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._attempts: dict[str, int] = {}

    async def __call__(self, request: Request) -> Response:
        """Answer one request."""
        path = request.target.partition("?")[0].replace("//", "/")
        if path == "/health":
            return Response(200, b"OK")
        if path.startswith("/status/"):
            wanted = _STATUS.fullmatch(path)
            return Response(int(wanted[1]) if wanted else 400)
        if path == "/ws" and "websocket" in request.headers.get("upgrade").lower():
            return accept(request, echo)
        if path.startswith("/retry/"):
            return await self._failing_at_first(request)
        return await self.echoed(request)

    async def echoed(self, request: Request) -> Response:
        """The request, after `?delay=`; with the headers that `X-Echo-Set-Header` asks for.

        The line in the log is what the suite looks for where requests are mirrored.
        """
        log(f"Echoing back request made to {request.target} to client ({request.peer})")
        try:
            await asyncio.sleep(duration(request.query.get("delay") or "0"))
        except ValueError as error:
            return _problem(500, str(error))
        headers = {**_asked(request), "X-Content-Type-Options": "nosniff"}
        body = json.dumps(described(request, self._identity), indent=1).encode()
        return Response(200, body, "application/json", headers)

    async def _failing_at_first(self, request: Request) -> Response:
        """The first attempts at a request fail: with `?responseCode=`, or by a reset of the connection."""
        query = request.query
        mark, after = query.get("uuid", ""), query.get("succeedAfter", "")
        if not mark or not after.isdigit():
            return Response(400, b"uuid is required" if not mark else b"succeedAfter is required")
        tried = self._attempts.get(mark, 0)
        if tried >= int(after):
            return await self.echoed(request)
        self._attempts[mark] = tried + 1
        await asyncio.sleep(duration(query.get("delayRetry") or "0"))
        code = query.get("responseCode", "")
        if not code.isdigit():
            raise AbortConnection
        return Response(int(code))


def only_h2c(echo_: Echo) -> Any:
    """The handler of the port for HTTP/2 in plain text."""

    async def answer(request: Request) -> Response:
        if "2" not in request.protocol and request.headers.get("upgrade") != "h2c":
            return Response(400, b"Expected h2c request")
        return await echo_.echoed(request)

    return answer


def described(request: Request, identity: Identity) -> dict[str, Any]:
    """The request as the suite reads it."""
    headers: dict[str, list[str]] = {}
    for name, value in request.headers.pairs:
        if name != "host":
            headers.setdefault(canonical(name), []).append(value)
    made: dict[str, Any] = {
        "path": request.target,
        "host": request.headers.get("host"),
        "method": request.method,
        "proto": request.protocol if "." in request.protocol else "HTTP/2.0",
        "headers": headers,
        "httpPort": identity.http_port,
        "namespace": identity.namespace,
        "ingress": identity.ingress,
        "service": identity.service,
        "pod": identity.pod,
    }
    if request.tls is not None:
        made["tls"] = {
            "version": request.tls.version,
            "serverName": request.tls.server_name,
            "negotiatedProtocol": request.tls.protocol,
            "cipherSuite": request.tls.cipher,
            **({"peerCertificates": [request.tls.certificate]} if request.tls.certificate else {}),
        }
    return made


def canonical(name: str) -> str:
    """A header's name as Go writes it."""
    return "-".join(part.capitalize() for part in name.split("-"))


def _asked(request: Request) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in request.headers.pairs:
        if name == _SET_HEADER:
            for pair in value.split(","):
                key, _, text = pair.strip().partition(":")
                if not key:
                    continue
                found[key] = f"{found[key]},{text.strip()}" if key in found else text
    return {key: text.strip() for key, text in found.items()}


def _problem(status: int, message: str) -> Response:
    return Response(status, json.dumps({"message": message}).encode(), "application/json")
