"""`mesh-lab-app ratelimit`: configured by the published environment variables.

RUNTIME_ROOT, RUNTIME_SUBDIRECTORY and its directory `config` hold the limits; PORT (8080), GRPC_PORT (8081) and
DEBUG_PORT (6070) are the ports. REDIS_URL and what concerns redis and statsd has no effect: counters are in memory.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from mesh_lab.apps.grpc.server import GrpcServer
from mesh_lab.apps.http import server as http
from mesh_lab.apps.http.connection import Handler
from mesh_lab.apps.samples.ratelimit.config import ConfigError, load
from mesh_lab.apps.samples.ratelimit.limiter import Limiter
from mesh_lab.apps.samples.ratelimit.service import METHOD, RateLimits
from mesh_lab.apps.service import log

_PORTS = {"PORT": "8080", "GRPC_PORT": "8081", "DEBUG_PORT": "6070"}


def main(_: Sequence[str]) -> int:
    """Serve until SIGTERM; exit code 1 for a configuration that is not understood, or a port that cannot be opened."""
    root = directory(os.environ)
    try:
        limiter = Limiter(load(root))
        ports = {name: int(os.environ.get(name, port)) for name, port in _PORTS.items()}
    except (ConfigError, ValueError) as error:
        log(f"ratelimit: {error}")
        return 1
    return asyncio.run(_run(RateLimits(root, limiter, time.monotonic), ports))


def directory(environment: Mapping[str, str]) -> Path:
    """Where the limits are."""
    root = environment.get("RUNTIME_ROOT", "/srv/runtime_data/current")
    return Path(root) / environment.get("RUNTIME_SUBDIRECTORY", "") / "config"


async def _run(limits: RateLimits, ports: Mapping[str, int]) -> int:
    stop = http.stop_requested()
    handlers: dict[str, Handler] = {
        "PORT": limits.http,
        "GRPC_PORT": GrpcServer({METHOD: limits.should_rate_limit}),
        "DEBUG_PORT": limits.debug,
    }
    servers = {name: http.Server(handler) for name, handler in handlers.items()}
    for name, server in servers.items():
        try:
            await server.listen(None, ports[name])
        except OSError as error:
            log(f"ratelimit: cannot listen on {ports[name]} ({name}): {error.strerror or error}")
            return 1
        log(f"Listening on [::]:{ports[name]} ({name})")
    await stop.wait()
    await asyncio.gather(*(server.finish(http.LINGER_SECONDS) for server in servers.values()))
    return 0
