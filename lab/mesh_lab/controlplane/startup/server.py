"""The control plane's life: follows the API server from its first moment, and serves until it is stopped.

A start is mostly the loading of code: 0.2 s of a core for the Kubernetes client, 0.3 s for all else. So the lists are
requested with only the client loaded, and come in while a thread loads the rest.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from mesh_lab import collecting
from mesh_lab.controlplane.kube.client import KubeClient
from mesh_lab.controlplane.kube.definitions import Definitions
from mesh_lab.controlplane.kube.kinds import ALL, WANTED
from mesh_lab.controlplane.kube.watching import Follower, Gate
from mesh_lab.controlplane.process.config import Ports, Settings

if TYPE_CHECKING:
    from mesh_lab.controlplane.startup.assembly import Translation


async def run(
    settings: Settings,
    stop: asyncio.Event,
    load: Callable[[], Translation],
    started: Callable[[Ports], None] | None = None,
) -> None:
    """Serve until `stop` is set.

    `load` gives the translation, in a thread; `started` is called with the ports in use once everything is served.
    """
    async with KubeClient(settings.api_server, settings.token_file, settings.ca_file) as api:
        gate = Gate()
        followers = [Follower(api, kind, gate) for kind in ALL]
        wanted = {name: kind for dialect in settings.dialects for name, kind in WANTED[dialect].items()}
        definitions = Definitions(api, wanted, gate)

        async def serve() -> None:
            assembly = await asyncio.to_thread(importlib.import_module, "mesh_lab.controlplane.startup.assembly")
            translation = await asyncio.to_thread(load)
            await assembly.serve(api, settings, gate, followers, definitions, translation, started)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(follower.run()) for follower in followers]
            tasks.append(group.create_task(definitions.run()))
            tasks.append(group.create_task(serve()))
            tasks.append(group.create_task(collecting.between_changes()))
            await stop.wait()
            for task in tasks:
                task.cancel()
