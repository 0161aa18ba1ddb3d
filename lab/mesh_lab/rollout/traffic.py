"""The requests of a rollout: from a client of its own in the route's namespace, removed at the end."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mesh_lab.client.api import Api
from mesh_lab.client.objects import Items, Reference
from mesh_lab.client.rollout import is_rolled_out
from mesh_lab.harness.mesh import Mesh
from mesh_lab.harness.results import Results
from mesh_lab.harness.traffic import TrafficClient
from mesh_lab.harness.workloads import Images
from mesh_lab.rollout.settings import Rollout

CLIENT = "mesh-lab-rollout"
READY_SECONDS = 60.0
MARGIN_SECONDS = 10.0


@contextmanager
def sending(api: Api, rollout: Rollout, images: Images) -> Iterator[Callable[[int], Results]]:
    """Sends so many of the rollout's requests and gives the results, during a `with` block.

    Raises:
        ApiError: the client cannot be deployed.
        WaitTimeoutError: it does not start.
    """
    mesh = Mesh(api, rollout.namespace, images)
    client = mesh.deploy_client(CLIENT)
    try:
        _await_ready(api, rollout.namespace)
        yield sender(client, rollout)
    finally:
        mesh.remove([Reference(version, kind, CLIENT, rollout.namespace) for version, kind in _MADE])


def sender(client: TrafficClient, rollout: Rollout) -> Callable[[int], Results]:
    """Sends so many of the rollout's requests from a client, and gives the results."""
    asked = rollout.requests

    def send(count: int) -> Results:
        return client.send(
            rollout.url,
            count,
            version_of=rollout.version_of,
            rate=asked.rate,
            concurrency=asked.concurrency,
            timeout=asked.timeout,
            headers=asked.headers,
            method=asked.method,
            deadline=math.ceil(count / asked.rate * 2 + asked.timeout * 2 + MARGIN_SECONDS),
        )

    return send


_MADE = (("v1", "ServiceAccount"), ("apps/v1", "Deployment"))


def _await_ready(api: Api, namespace: str) -> None:
    def ready(items: Items) -> bool:
        return CLIENT in items and is_rolled_out(items[CLIENT])

    began = time.monotonic()
    api.wait_until(
        api.path("apps/v1", "Deployment", namespace),
        ready,
        timeout=READY_SECONDS,
        why=f"the rollout's client {CLIENT} starts in {namespace}",
        describe=lambda items: f"  after {time.monotonic() - began:.0f} s: {items.get(CLIENT, {}).get('status')}",
    )
