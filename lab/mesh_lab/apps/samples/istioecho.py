"""`mesh-lab-app istio-echo`: the server of Istio's samples grpc-echo and mtls-echo (the image `app` of Istio's tests).

It answers over HTTP, gRPC (proto.EchoTestService/Echo) and TCP with lines FIELD=VALUE. The proxyless xDS and the
forwarding of its namesake are left out: each pod has a sidecar.
https://github.com/istio/istio/tree/master/pkg/test/echo
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mesh_lab.apps.grpc import wire
from mesh_lab.apps.grpc.answers import is_call
from mesh_lab.apps.grpc.server import GrpcServer
from mesh_lab.apps.http import server as http
from mesh_lab.apps.http.messages import REASONS, Request, Response
from mesh_lab.apps.http.websocket import accept, echo
from mesh_lab.apps.samples.fortio.flags import duration
from mesh_lab.apps.service import log

if TYPE_CHECKING:
    import ssl

SERVER_FIRST = b"server-first-protocol\n"
_ECHO = "/proto.EchoTestService/Echo"


@dataclass(frozen=True)
class Identity:
    """What the server tells of itself."""

    version: str
    hostname: str
    cluster: str = ""
    istio_version: str = ""
    namespace: str = ""

    def lines(self, port: int) -> list[str]:
        """Version and port, and the rest where it is known."""
        known = {"Cluster": self.cluster, "IstioVersion": self.istio_version, "Namespace": self.namespace}
        more = [f"{name}={value}" for name, value in known.items() if value]
        return [f"ServiceVersion={self.version}", f"ServicePort={port}", *more]


class Echo:
    """The handler of the ports for HTTP and gRPC, each of which takes both."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._grpc = GrpcServer({_ECHO: self._call})

    async def __call__(self, request: Request) -> Response:
        """Answer with the request; `?delay=`, `?codes=CODE:SHARE,...` and `?headers=NAME:VALUE,...` say how."""
        if is_call(request):
            return await self._grpc(request)
        if "websocket" in request.headers.get("upgrade").lower():
            return accept(request, echo)
        query = request.query
        try:
            await asyncio.sleep(duration(query.get("delay") or "0"))
            code = _code(query.get("codes", ""))
            headers = _headers(query.get("headers", ""))
        except ValueError as error:
            return Response(400, f"codes error: {error}\n".encode(), "application/text")
        return Response(code, self._described(request, code).encode(), "application/text", headers)

    def _described(self, request: Request, code: int) -> str:
        who = self._identity
        lines = [*who.lines(request.port), f"Host={request.headers.get('host')}", f"URL={request.target}"]
        lines += [f"StatusCode={code}", f"Method={request.method}"]
        lines += [f"Proto={request.protocol if '.' in request.protocol else 'HTTP/2.0'}", f"IP={_plain(request.peer)}"]
        fields = [(_canonical(name), value) for name, value in request.headers.pairs if name != "host"]
        fields.sort(key=lambda pair: pair[0])  # the values of one name keep their order
        lines += [f"RequestHeader={name}:{value}" for name, value in fields]
        return "".join(f"{line}\n" for line in [*lines, f"Hostname={who.hostname}"])

    async def _call(self, message: bytes, request: Request) -> bytes:
        """proto.EchoRequest and proto.EchoResponse: `message` 1."""
        who = self._identity
        lines = [f"RequestHeader={name}:{value}" for name, value in request.headers.pairs if not name.endswith("-bin")]
        lines += [f"Host={request.headers.get('host')}", "StatusCode=200", *who.lines(request.port)]
        lines += [f"IP={_plain(request.peer)}", "Proto=GRPC", f"Echo={wire.text(wire.decode(message), 1)}"]
        return wire.encode({1: "".join(f"{line}\n" for line in [*lines, f"Hostname={who.hostname}"])})


def _code(mix: str) -> int:
    codes: list[int] = []
    weights: list[int] = []
    for part in mix.split(",") if mix else ["200"]:
        code, _, weight = part.partition(":")
        codes.append(int(code))
        weights.append(int(weight or 1))
        if codes[-1] not in REASONS or codes[-1] < 200 or weights[-1] < 0:
            raise ValueError(f"invalid {part!r} (want code or code:count)")
    return random.choices(codes, weights)[0]


def _headers(text: str) -> list[tuple[str, str]]:
    pairs = [part.split(":") for part in text.split(",") if part]
    for pair in pairs:
        if len(pair) != 2 or not pair[0] or not "".join(pair).isprintable():
            raise ValueError(f"invalid {':'.join(pair)!r} (want name:value)")
    return [(name, value) for name, value in pairs]


def _canonical(name: str) -> str:
    return "-".join(part.capitalize() for part in name.split("-"))


def _plain(address: str) -> str:
    return address.removeprefix("::ffff:")


async def listen_tcp(identity: Identity, port: int, host: str | None = None, *, first: bool = False) -> asyncio.Server:
    """Open a TCP port: fields at the client's first words, then the words. `first`: the server greets.

    Raises:
        OSError: the port is taken or not permitted.
    """

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(ConnectionError):
            if first:
                writer.write(SERVER_FIRST)
            data = await reader.read(4096)
            peer = _plain(str(writer.get_extra_info("peername")[0]))
            bound = int(writer.get_extra_info("sockname")[1])
            lines = ["StatusCode=200", *identity.lines(bound), f"IP={peer}", "Proto=TCP"]
            writer.write("".join(f"{line}\n" for line in [*lines, f"Hostname={identity.hostname}"]).encode())
            while data:
                writer.write(data)
                await writer.drain()
                data = await reader.read(4096)

    return await asyncio.start_server(answer, host, port)


def main(arguments: Sequence[str]) -> int:
    """Serve until SIGTERM; exit code 1 when a port cannot be opened, 2 for what is left out."""
    parser = argparse.ArgumentParser(prog="istio-echo", description="Tells what it received, in lines FIELD=VALUE.")
    for flag, what in (("--port", "HTTP"), ("--grpc", "gRPC"), ("--tcp", "TCP"), ("--server-first", "greet first")):
        parser.add_argument(flag, type=int, action="append", default=[], metavar="PORT", help=what)
    parser.add_argument("--tls", type=int, action="append", default=[], metavar="PORT", help="of the ports, with TLS")
    parser.add_argument("--mtls", type=int, action="append", default=[], metavar="PORT", help="refused")
    parser.add_argument("--crt", default="", help="the certificate of the ports with TLS")
    parser.add_argument("--key", default="", help="its key")
    for flag in ("--metrics", "--ca", "--xds-grpc-server", "--bind-ip", "--bind-localhost"):
        parser.add_argument(flag, action="append", help="without effect")
    for flag in ("--version", "--cluster", "--istio-version"):
        parser.add_argument(flag, default="")
    options = parser.parse_args(arguments)
    if options.mtls:
        parser.error("the lab's echo has no ports with mutual TLS: the sidecar has it")
    return asyncio.run(_run(_identity(options, os.environ), options))


def _identity(options: argparse.Namespace, environment: Mapping[str, str]) -> Identity:
    return Identity(
        version=options.version,
        hostname=environment.get("HOSTNAME") or socket.gethostname(),
        cluster=options.cluster,
        istio_version=options.istio_version,
        namespace=environment.get("NAMESPACE", ""),
    )


def _context(certificate: str, key: str) -> ssl.SSLContext | None:
    """TLS of the server's own; None without the files."""
    if not (Path(certificate).is_file() and Path(key).is_file()):
        return None
    import ssl

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    return context


async def _run(identity: Identity, options: argparse.Namespace) -> int:
    stop = http.stop_requested()
    server = http.Server(Echo(identity))
    try:
        for port in dict.fromkeys((*(options.port or [8080]), *options.grpc)):
            if port not in options.tls:
                await server.listen(None, port)
            elif (context := _context(options.crt, options.key)) is not None:
                await server.listen(None, port, context)
            else:
                log(f"port {port} is closed: there is no certificate in {options.crt or '--crt'}")
        listeners = [await listen_tcp(identity, port, first=port in options.server_first) for port in options.tcp]
    except OSError as error:
        log(f"istio-echo: cannot listen: {error.strerror or error}")
        return 1
    log(f"echo {identity.version} listens: HTTP {options.port}, gRPC {options.grpc}, TCP {options.tcp}")
    await stop.wait()
    for listener in listeners:
        listener.close()
    await server.finish(http.LINGER_SECONDS)
    return 0
