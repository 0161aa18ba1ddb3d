"""The requests of a rollout: from a client of its own in the route's namespace, removed at the end."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

from mesh_lab.client.objects import Items, Reference
from mesh_lab.client.rollout import is_rolled_out
from mesh_lab.errors import LabError
from mesh_lab.harness.mesh import Mesh
from mesh_lab.harness.results import Results
from mesh_lab.harness.traffic import TrafficClient
from mesh_lab.rollout.observing import Send
from mesh_lab.rollout.settings import Rollout

CLIENT = "mesh-lab-rollout"
READY_SECONDS = 60.0
MARGIN_SECONDS, MOST_SECONDS = 10.0, 600.0


class NothingSent(LabError):  # noqa: N818 - what has happened
    """The client has not sent the requests, or not all of them."""


@contextmanager
def sending(mesh: Mesh, rollout: Rollout) -> Iterator[Send]:
    """Sends so many of the rollout's requests and gives the results, during a `with` block.

    The client is this route's own, so that rollouts of other routes in the namespace have theirs.

    Raises:
        ApiError: the client cannot be deployed.
        WaitTimeoutError: it does not start.
    """
    name = client_of(rollout)
    client = mesh.deploy_client(name)
    try:
        _await_ready(mesh, name)
        yield sender(client, rollout)
    finally:
        remove_client(mesh, rollout)


def remove_client(mesh: Mesh, rollout: Rollout) -> None:
    """Remove the client of this route's rollout, if there is one."""
    kinds = (("v1", "ServiceAccount"), ("apps/v1", "Deployment"))
    mesh.remove([Reference(version, kind, client_of(rollout), mesh.namespace) for version, kind in kinds])


def client_of(rollout: Rollout) -> str:
    """The name of the client."""
    return f"{CLIENT}-{hashlib.blake2b(rollout.route.encode(), digest_size=4).hexdigest()}"


def sender(client: TrafficClient, rollout: Rollout) -> Send:
    """Sends so many of the rollout's requests from a client, and gives the results.

    What it returns raises:
        NothingSent: they were not all sent in time.
        ApiError: the client refuses them, or does not answer.
    """
    asked = rollout.requests

    def send(count: int) -> Results:
        try:
            return client.send(
                rollout.url,
                count,
                version_of=rollout.version_of,
                rate=asked.rate,
                concurrency=asked.concurrency,
                timeout=asked.timeout,
                headers=asked.headers,
                method=asked.method,
                deadline=batch_seconds(rollout, count),
            )
        except (ValueError, LookupError) as error:
            raise NothingSent(f"the client has not sent {count} requests to {rollout.url}: {error}") from error

    return send


def batch_seconds(rollout: Rollout, count: int) -> float:
    """How long so many requests may take: even if none of them is answered."""
    asked = rollout.requests
    waiting = math.ceil(count / asked.concurrency) * asked.timeout
    return min(math.ceil(count / asked.rate + waiting) + MARGIN_SECONDS, MOST_SECONDS)


def _await_ready(mesh: Mesh, name: str) -> None:
    def ready(items: Items) -> bool:
        return name in items and is_rolled_out(items[name])

    began = time.monotonic()
    mesh.api.wait_until(
        mesh.api.path("apps/v1", "Deployment", mesh.namespace),
        ready,
        timeout=READY_SECONDS,
        why=f"the rollout's client {name} starts in {mesh.namespace}",
        describe=lambda items: f"  after {time.monotonic() - began:.0f} s: {items.get(name, {}).get('status')}",
    )
