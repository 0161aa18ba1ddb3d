"""`mesh-lab-app admin /stats`: Envoy's administration interface, which only the pod itself can reach."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence

from mesh_lab.apps.http.answers import ApiError
from mesh_lab.apps.http.client import fetch


def main(arguments: Sequence[str]) -> int:
    """Print the answer; exit code 1 when there is none or it is an error."""
    parser = argparse.ArgumentParser(
        prog="mesh-lab-app admin", description="Asks the pod's Envoy and prints its answer."
    )
    parser.add_argument("path", help="for example /stats?filter=upstream_rq or /config_dump")
    parser.add_argument("--port", type=int, default=15000, metavar="N", help="default 15000")
    parser.add_argument("--post", action="store_true", help="POST, for what changes Envoy's state")
    options = parser.parse_args(arguments)
    path = options.path if options.path.startswith("/") else f"/{options.path}"
    method = "POST" if options.post else "GET"
    try:
        answer = asyncio.run(fetch(f"http://127.0.0.1:{options.port}{path}", method=method, timeout=20))
    except ApiError as error:
        sys.stderr.write(f"mesh-lab-app admin: no Envoy answers in this pod: {error}\n")
        return 1
    sys.stdout.buffer.write(answer.body)
    sys.stdout.flush()
    if answer.status >= 400:
        sys.stderr.write(f"mesh-lab-app admin: {path} was answered with {answer.status}\n")
    return int(answer.status >= 400)
