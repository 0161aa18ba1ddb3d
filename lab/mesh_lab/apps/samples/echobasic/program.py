"""`mesh-lab-app echo-basic`: the servers of the Gateway API's conformance suite, chosen by variables as by its image.

HTTP (3000), HTTP/2 in plain text (3001) and, with a certificate, HTTPS (8443); gRPC with `GRPC_ECHO_SERVER`, TCP with
`TCP_ECHO_SERVER`, UDP with `UDP_ECHO_SERVER`.
https://github.com/kubernetes-sigs/gateway-api/tree/main/conformance/echo-basic
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Mapping, Sequence

from mesh_lab.apps.http import server as http
from mesh_lab.apps.http.connection import Handler
from mesh_lab.apps.http.secured import note_server_name
from mesh_lab.apps.samples.echobasic import tcp, udp
from mesh_lab.apps.samples.echobasic.calls import server as grpc_server
from mesh_lab.apps.samples.echobasic.handler import Echo, Identity, only_h2c
from mesh_lab.apps.service import log


def main(_: Sequence[str]) -> int:
    """Serve until SIGTERM; exit code 1 when a port cannot be opened."""
    environ = os.environ
    identity = Identity.of(environ)
    try:
        if environ.get("UDP_ECHO_SERVER"):
            return asyncio.run(udp.serve(identity, environ))
        if environ.get("TCP_ECHO_SERVER"):
            return asyncio.run(tcp.serve(identity, environ))
        return asyncio.run(_serve(identity, environ))
    except OSError as error:
        log(f"echo-basic: cannot serve: {error.strerror or error}")
        return 1


async def _serve(identity: Identity, environ: Mapping[str, str]) -> int:
    stop = http.stop_requested()
    servers: list[http.Server] = []

    async def listen(handler: Handler, port: int, context: ssl.SSLContext | None = None) -> None:
        server = http.Server(handler)
        servers.append(server)
        log(f"echo-basic listens on port {await server.listen(None, port, context)}")

    context = _context(environ)
    secure = int(environ.get("HTTPS_PORT") or 8443)
    if environ.get("GRPC_ECHO_SERVER"):
        calls = grpc_server(identity)
        await listen(calls, int(identity.http_port))
        if context is not None:
            await listen(calls, secure, context)
    else:
        echo = Echo(identity)
        await listen(echo, int(identity.http_port))
        await listen(only_h2c(echo), int(environ.get("H2C_PORT") or 3001))
        if context is not None:
            await listen(echo, secure, context)
    await stop.wait()
    await asyncio.gather(*(server.finish(http.LINGER_SECONDS) for server in servers))
    return 0


def _context(environ: Mapping[str, str]) -> ssl.SSLContext | None:
    """TLS with the certificate that the variables name; a client's own certificate is looked at where it shows one."""
    certificate = environ.get("TLS_SERVER_CERT")
    key = environ.get("TLS_SERVER_PRIVKEY") or environ.get("TLS_SERVER_PRIV_KEY")
    if not (certificate and key):
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols(["h2", "http/1.1"])
    note_server_name(context)
    if authorities := environ.get("TLS_CLIENT_CACERTS"):
        context.load_verify_locations(authorities)
        context.verify_mode = ssl.CERT_OPTIONAL
    return context
