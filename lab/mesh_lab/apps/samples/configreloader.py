"""`mesh-lab-app config-reloader`: asks Prometheus to read its configuration again whenever a file of it has changed.

https://github.com/prometheus-operator/prometheus-operator/tree/main/cmd/prometheus-config-reloader
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from mesh_lab.apps.http import server as http
from mesh_lab.apps.http.answers import ApiError
from mesh_lab.apps.http.client import fetch
from mesh_lab.apps.http.messages import Request, Response
from mesh_lab.apps.service import log

_PERIOD = 1.0
State = tuple[tuple[str, int, int], ...]


def state_of(directories: Iterable[str]) -> State:
    """What is in the directories: each file's path, time of change and size; links are followed."""
    found = []
    for directory in directories:
        for path in sorted(Path(directory).iterdir()):
            with contextlib.suppress(OSError):
                facts = path.stat()
                found.append((str(path), facts.st_mtime_ns, facts.st_size))
    return tuple(found)


async def answer(request: Request) -> Response:
    """`/healthz` for the probes, and `/metrics`, of which there are none."""
    return Response(200 if request.path in ("/healthz", "/metrics") else 404)


async def follow(directories: Sequence[str], url: str, period: float = _PERIOD) -> None:
    """Ask `url` at the beginning and after each change, and again until it answers."""
    loaded: State | None = None
    while True:
        state = state_of(directories)
        if state != loaded and await _reload(url):
            loaded = state
        await asyncio.sleep(period)


async def _reload(url: str) -> bool:
    try:
        status = (await fetch(url, method="POST")).status
    except (ApiError, ValueError) as error:
        log(f"config-reloader: {url}: {error}")
        return False
    log(f"config-reloader: {url}: status {status}")
    return status == 200


def main(arguments: Sequence[str]) -> int:
    """Run until SIGTERM; exit code 1 when the port cannot be opened. Other options are taken, and mean nothing here."""
    parser = argparse.ArgumentParser(prog="config-reloader", description="Has a configuration read again.")
    parser.add_argument("--watched-dir", action="append", default=[])
    parser.add_argument("--listen-address", default=":8080")
    parser.add_argument("--reload-url", default="http://127.0.0.1:9090/-/reload")
    options, _ = parser.parse_known_args(arguments)
    return asyncio.run(_run(options.watched_dir, options.reload_url, options.listen_address))


async def _run(directories: Sequence[str], url: str, address: str) -> int:
    stop, server = http.stop_requested(), http.Server(answer)
    host, _, port = address.rpartition(":")
    try:
        await server.listen(host or None, int(port))
    except OSError as error:
        log(f"config-reloader: cannot listen at {address}: {error.strerror or error}")
        return 1
    following = asyncio.create_task(follow(directories, url))
    await stop.wait()
    following.cancel()
    await server.finish(0)
    return 0
