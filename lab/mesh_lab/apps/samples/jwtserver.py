"""`mesh-lab-app jwt-server`: Istio's sample of a server of public keys for JSON Web Tokens, over HTTP and HTTPS.

Every path has the same key set (RFC 7517), after `?delay=`, a duration. The key is the published one: tokens that
Istio's tests sign are checked with it.
https://github.com/istio/istio/tree/master/samples/jwt-server
"""

from __future__ import annotations

import argparse
import asyncio
import json
import ssl
from collections.abc import Sequence

from mesh_lab.apps.http import server as http
from mesh_lab.apps.http.messages import Request, Response
from mesh_lab.apps.samples.fortio.flags import duration
from mesh_lab.apps.service import log

_MODULUS = (
    "raJ7ZEhMfrBUo2werGKOow9an1B6Ukc6dKY2hNi10eaQe9ehJCjLpmJpePxoqaCi2VYt6gncLfhEV71JDGsodbfYMlaxwWTt6lXBcjlVXHWDXLC45rHV"
    "fi9FjSSXloHqmSStpjv3mrW3R6fx2VeVVP_mrA6ZHtcynq6ecJqO11STvVoeeM3lEsASVSWsUrKltC1Crfo0sI7YG34QjophVTEi8B9gVepAJZV-Bso5"
    "sinRABnxfLUM7DU5c8MO114uvXThgSIuAOM9PbViSC3X6Y9Gsjsy881HGO-EJaUCrwSWnwQW5sp0TktrYL70-M4_ug-X51Yt_PErmncKupx8Hw"
)
KEYS = {"keys": [{"e": "AQAB", "kid": "tT_w9LRNrY7wJalGsTYSt7rutZi86Gvyc0EKR4CaQAw", "kty": "RSA", "n": _MODULUS}]}


async def answer(request: Request) -> Response:
    """The key set."""
    try:
        await asyncio.sleep(duration(request.query.get("delay") or "0"))
    except ValueError:
        return Response(400, b"Invalid delay parameter")
    return Response(200, json.dumps(KEYS).encode())


def main(arguments: Sequence[str]) -> int:
    """Serve until SIGTERM; exit code 1 when a port cannot be opened or the certificate cannot be read."""
    parser = argparse.ArgumentParser(prog="jwt-server", description="Gives the keys that tokens are checked with.")
    parser.add_argument("-http", "--http", type=int, default=8000)
    parser.add_argument("-https", "--https", type=int, default=8443)
    parser.add_argument("-cert", "--cert", default="", help="for HTTPS")
    parser.add_argument("-key", "--key", default="", help="for HTTPS")
    options = parser.parse_args(arguments)
    ports: dict[int, ssl.SSLContext | None] = {options.http: None}
    if options.cert and options.key:
        try:
            ports[options.https] = context(options.cert, options.key)
        except OSError as error:
            log(f"jwt-server: {options.cert}, {options.key}: {error}")
            return 1
    return asyncio.run(_run(ports))


def context(certificate: str, key: str) -> ssl.SSLContext:
    """The TLS of a server.

    Raises:
        OSError: a file that cannot be read, or does not fit.
    """
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(certificate, key)
    made.set_alpn_protocols(["h2", "http/1.1"])
    return made


async def _run(ports: dict[int, ssl.SSLContext | None]) -> int:
    stop = http.stop_requested()
    server = http.Server(answer)
    for port, tls in ports.items():
        try:
            log(f"Starting {'HTTPS' if tls else 'HTTP'} server at [::]:{await server.listen(None, port, tls)}")
        except OSError as error:
            log(f"Failed to start HTTP server: port {port}: {error.strerror or error}")
            return 1
    await stop.wait()
    await server.finish(http.LINGER_SECONDS)
    return 0
