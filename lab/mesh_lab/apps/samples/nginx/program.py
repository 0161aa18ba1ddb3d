"""`mesh-lab-app nginx [-c FILE] [-t] [-g DIRECTIVES]`: serves until SIGTERM or SIGQUIT."""

from __future__ import annotations

import argparse
import asyncio
import signal
import ssl
import sys
from collections.abc import Sequence
from pathlib import Path

from mesh_lab.apps.http import server as http
from mesh_lab.apps.samples.nginx.config import Server, Tls, load, usual
from mesh_lab.apps.samples.nginx.handler import Nginx, choose
from mesh_lab.apps.samples.nginx.syntax import ConfigError
from mesh_lab.apps.service import log

CONFIGURATION = Path("/etc/nginx/nginx.conf")


def main(arguments: Sequence[str]) -> int:
    """Serve; exit code 1 for a configuration that is not understood, or a port that cannot be opened."""
    parser = argparse.ArgumentParser(prog="nginx", description="The part of nginx that Istio's tasks configure.")
    parser.add_argument("-c", dest="file", type=Path, default=CONFIGURATION)
    parser.add_argument("-t", dest="test", action="store_true", help="only check the configuration")
    parser.add_argument("-g", dest="more", default="", help="without effect: `daemon off;` is how this program runs")
    options = parser.parse_args(arguments)
    try:
        missing = options.file == CONFIGURATION and not options.file.exists()
        servers = usual(options.file.parent) if missing else load(options.file)
        contexts = {port: context(servers, port) for port in ports(servers)}
    except (ConfigError, OSError) as error:
        sys.stderr.write(f"nginx: [emerg] {error}\n")
        return 1
    if options.test:
        sys.stderr.write(f"nginx: configuration file {options.file} test is successful\n")
        return 0
    return asyncio.run(_run(servers, contexts))


def ports(servers: Sequence[Server]) -> list[int]:
    """The ports of all servers, each once."""
    return sorted({listen.port for server in servers for listen in server.listens})


def context(servers: Sequence[Server], port: int) -> ssl.SSLContext | None:
    """The TLS of a port, which takes the certificate of the server that the client names; None without TLS.

    Raises:
        OSError: a certificate or a key that cannot be read, or does not fit.
    """
    secured = [server for server in servers if any(one.port == port and one.tls for one in server.listens)]
    if not secured:
        return None
    contexts = {server.tls: _context(server.tls) for server in secured}

    def by_name(connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, _: ssl.SSLContext) -> None:
        connection.context = contexts[choose(secured, port, name or "").tls]

    first = contexts[choose(secured, port, "").tls]
    first.sni_callback = by_name
    return first


def _context(tls: Tls) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.set_alpn_protocols(["h2", "http/1.1"])
    try:
        made.load_cert_chain(tls.certificate, tls.key)
    except OSError as error:
        raise OSError(f'cannot load certificate "{tls.certificate}" with key "{tls.key}": {error}') from None
    if tls.verify != "off":
        try:
            made.load_verify_locations(tls.client_authorities)
        except OSError as error:
            raise OSError(f'cannot load "{tls.client_authorities}": {error}') from None
        # Who shows no certificate gets an answer in HTTP that says so.
        made.verify_mode = ssl.CERT_OPTIONAL
    return made


async def _run(servers: Sequence[Server], contexts: dict[int, ssl.SSLContext | None]) -> int:
    stop = http.stop_requested()
    asyncio.get_running_loop().add_signal_handler(signal.SIGQUIT, stop.set)  # the image's STOPSIGNAL
    server = http.Server(Nginx(servers))
    for port, tls in contexts.items():
        try:
            await server.listen(None, port, tls)
        except OSError as error:
            log(f"nginx: [emerg] bind() to 0.0.0.0:{port} failed ({error.strerror or error})")
            return 1
        log(f"nginx listens on port {port}{' with TLS' if tls else ''}")
    await stop.wait()
    await server.finish(http.LINGER_SECONDS, http.DRAIN_SECONDS)
    return 0
