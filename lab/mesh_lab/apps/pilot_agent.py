"""`pilot-agent`, which tutorials and wrappers of Jobs call in `istio-proxy`: `request METHOD PATH [BODY]` and `wait`.

The lab has no agent in its pods; both ask Envoy. Run as a file by a bare interpreter, to be there at once, so it
imports nothing of the lab. https://istio.io/latest/docs/reference/commands/pilot-agent/
"""

from __future__ import annotations

import argparse
import sys
import time
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

_PORTS = (15000, 15004, 15020, 15021)
_REQUEST_SECONDS = 60.0


class AgentError(Exception):
    """The answer was an error, or there was none."""


def main(arguments: list[str] | None = None) -> int:
    """The exit code: 0, 1 for a failure, 2 for wrong usage."""
    given = _parser().parse_args(arguments)
    try:
        if given.command == "wait":
            wait(given.url, given.timeout, given.request_timeout / 1000, given.period / 1000)
        else:
            sys.stdout.write(request(given.method, given.path, given.body, given.port) + "\n")
    except AgentError as error:
        sys.stderr.write(f"Error: {error}\n")
        return 1
    return 0


def request(method: str, path: str, body: str, port: int) -> str:
    """The body of the answer. As with Istio's, a 404 is an answer like any other.

    Raises:
        AgentError: there is no answer, or it has another status of 400 or more.
    """
    status, answer = _ask(method, "127.0.0.1", port, f"/{path.removeprefix('/')}", body, _REQUEST_SECONDS)
    if status >= 400 and status != 404:
        raise AgentError(f"received unsuccessful status code {status}: {answer}")
    return answer


def wait(url: str, seconds: float, request_seconds: float, period: float) -> None:
    """Return once the URL answers 200.

    Raises:
        AgentError: it does not within the time.
    """
    place = urlsplit(url)
    until = time.monotonic() + seconds
    while True:
        try:
            port = place.port or 80
            status, _ = _ask("GET", place.hostname or "", port, place.path or "/", "", request_seconds)
            if status == 200:
                return
            last = f"HTTP status code {status}"
        except AgentError as error:
            last = str(error)
        if time.monotonic() + period > until:
            raise AgentError(f"timeout waiting for Envoy proxy to become ready. Last error: {last}")
        time.sleep(period)


def _ask(method: str, host: str, port: int, path: str, body: str, seconds: float) -> tuple[int, str]:
    connection = HTTPConnection(host, port, timeout=seconds)
    try:
        connection.request(method.upper(), path, body.encode() or None)
        response = connection.getresponse()
        return response.status, response.read().decode(errors="replace")
    except (OSError, HTTPException) as error:
        raise AgentError(f"http://{host}:{port}{path}: {error or type(error).__name__}") from None
    finally:
        connection.close()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("pilot-agent", description="Asks the pod's Envoy; the lab has no agent beside it.")
    commands = parser.add_subparsers(dest="command", required=True)
    asking = commands.add_parser("request", help="make a request to Envoy's administration interface")
    asking.add_argument("method")
    asking.add_argument("path")
    asking.add_argument("body", nargs="?", default="")
    asking.add_argument("--debug-port", dest="port", type=int, choices=_PORTS, default=15000)
    waiting = commands.add_parser("wait", help="wait until Envoy is ready")
    waiting.add_argument("--timeoutSeconds", dest="timeout", type=float, default=60)
    waiting.add_argument("--requestTimeoutMillis", dest="request_timeout", type=float, default=500)
    waiting.add_argument("--periodMillis", dest="period", type=float, default=500)
    waiting.add_argument("--url", default="http://localhost:15021/healthz/ready")
    return parser


if __name__ == "__main__":
    sys.exit(main())
