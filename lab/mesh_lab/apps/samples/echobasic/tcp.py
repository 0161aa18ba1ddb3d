"""echo-basic's server for connections: it greets, and answers the lines TEST, IS_TLS and PING."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import Mapping

from mesh_lab.apps.http.secured import note_server_name, requested_name
from mesh_lab.apps.http.server import stop_requested
from mesh_lab.apps.samples.echobasic.handler import Identity
from mesh_lab.apps.service import log

WELCOME = b"Gateway API Test TCP Server\n"


async def serve(identity: Identity, environ: Mapping[str, str]) -> int:
    """Serve until SIGTERM.

    Raises:
        OSError: the port cannot be opened, or a certificate not read.
    """
    stop = stop_requested()
    plain, secure = environ.get("TCP_PORT") or "3000", environ.get("TLS_PORT") or "8443"

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(ConnectionError):
            writer.write(WELCOME)
            secured = writer.get_extra_info("ssl_object")
            while line := await reader.readline():
                writer.write(_reply(line.strip(), secured))
                await writer.drain()

    def _reply(line: bytes, secured: ssl.SSLObject | None) -> bytes:
        if line == b"TEST":
            return f"{json.dumps(described(identity, plain, secure, _told(secured)))}\n".encode()
        if line == b"IS_TLS":
            return f"{str(secured is not None).lower()}\n".encode()
        return b"PONG\n" if line == b"PING" else b""

    servers = [await asyncio.start_server(answer, None, int(plain))]
    certificate, key = environ.get("TLS_SERVER_CERT"), environ.get("TLS_SERVER_PRIV_KEY")
    if certificate and key:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, key)
        note_server_name(context)
        servers.append(await asyncio.start_server(answer, None, int(secure), ssl=context))
    log(f"echo-basic listens for connections on port {plain}")
    await stop.wait()
    for server in servers:
        server.close()
    return 0


def _told(secured: ssl.SSLObject | None) -> dict[str, str] | None:
    """What is known of a connection's TLS."""
    if secured is None:
        return None
    return {
        "version": (secured.version() or "").replace("TLSv", "TLS "),
        "serverName": requested_name(secured),
        "negotiatedProtocol": secured.selected_alpn_protocol() or "",
        "cipherSuite": (secured.cipher() or ("",))[0],
    }


def described(identity: Identity, plain: str, secure: str, tls: dict[str, str] | None = None) -> dict[str, object]:
    """What the server tells of itself and of the connection."""
    made: dict[str, object] = {
        "namespace": identity.namespace,
        "ingress": identity.ingress,
        "service": identity.service,
        "pod": identity.pod,
        "tcpport": plain,
        "tlsport": secure,
        "isTLS": tls is not None,
    }
    return {**made, "tls": tls} if tls is not None else made
