"""A real Envoy with the injector's bootstrap and no control plane: what it answers by itself."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from mesh_lab.controlplane.injection import bootstrap
from mesh_lab.controlplane.injection.bootstrap import ProxySettings
from mesh_lab.controlplane.injection.probes import PORT
from tests.unit.controlplane.mesh import ENVOY, eventually

POD_IP = "127.0.0.2"
"""The pod's address: one that is not the loopback's own."""


@asynccontextmanager
async def standalone(directory: Path, settings: ProxySettings) -> AsyncIterator[tuple[int, subprocess.Popen[bytes]]]:
    """Runs it; gives the port that stands for 15020, and the process."""
    config = bootstrap.config(settings)
    del config["dynamic_resources"]
    static = config["static_resources"]
    static["clusters"] = [cluster for cluster in static["clusters"] if cluster["name"] != "xds-grpc"]
    text = json.dumps(config).replace("$(INSTANCE_IP)", POD_IP)
    own = (bootstrap.ADMIN_PORT, bootstrap.OWN_ADMIN_PORT, bootstrap.READY_PORT, bootstrap.STATS_PORT, PORT)
    free = dict(zip(own, _free_ports(len(own)), strict=True))
    for port, instead in free.items():
        text = text.replace(f'"port_value": {port}', f'"port_value": {instead}')
    command = [
        str(ENVOY),
        "--config-yaml",
        text,
        "--disable-hot-restart",
        "--concurrency",
        "1",
        "--log-level",
        "warning",
    ]
    with (directory / "envoy.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)  # noqa: ASYNC220 - starting it takes no time
    try:

        async def listens() -> bool:
            assert process.poll() is None, (directory / "envoy.log").read_text()
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", free[PORT])) == 0

        await eventually(listens)
        yield free[PORT], process
    finally:
        process.kill()
        process.wait()


def _free_ports(number: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
