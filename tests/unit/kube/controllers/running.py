"""A registry with the controllers running on it, and a node that runs no processes: pods become ready on demand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from mesh_lab.kube.config import KubeConfig
from mesh_lab.kube.controllers import Controllers
from mesh_lab.kube.errors import ApiError
from mesh_lab.kube.reflector import BOOKMARK, DELETED, follow
from mesh_lab.kube.registry.options import DeleteOptions
from mesh_lab.kube.registry.registry import Registry
from mesh_lab.kube.resources import DEPLOYMENTS, PODS, REPLICASETS, Resource
from mesh_lab.kube.store import Store
from mesh_lab.rfc3339 import now, timestamp

Object = dict[str, Any]
TIME_LIMIT = 20.0


def config() -> KubeConfig:
    """Settings with the usual addresses."""
    return KubeConfig(
        name="lab", state_dir="/nonexistent", api_fd=-1, control_fd=-1, lifeline_fd=-1, api_port=0, rootless=False
    )


class Cluster:
    """Registry, controllers and node of a test."""

    def __init__(self) -> None:
        self.registry = Registry(Store())
        self.automatic = True
        self._addresses = 1
        self.controllers = Controllers(self.registry, config(), "CERTIFICATE")

    async def until(self, what: str, holds: Callable[[], object]) -> None:
        """Wait until something holds; it is looked at again after each turn of the loop's timers."""
        try:
            async with asyncio.timeout(TIME_LIMIT):
                while not holds():  # noqa: ASYNC110 - any of many objects may bring it about
                    await asyncio.sleep(0.002)
        except TimeoutError:
            raise AssertionError(f"within {TIME_LIMIT:.0f} s did not come about: {what}") from None

    async def settle(self) -> None:
        """Wait until nothing was written for a while."""
        revision = -1
        while revision != self.registry.revision:
            revision = self.registry.revision
            await asyncio.sleep(0.1)

    def pods(self, namespace: str = "default") -> list[Object]:
        """Pods that are not on their way out."""
        return [each for each in self.registry.list(PODS, namespace) if "deletionTimestamp" not in each["metadata"]]

    def get(self, resource: Resource, name: str, namespace: str = "default") -> Object:
        """An object that has to be there."""
        return self.registry.get(resource, name, namespace)

    def status(self, name: str = "web") -> Object:
        """A deployment's status."""
        return self.get(DEPLOYMENTS, name).get("status") or {}

    def condition(self, kind: str, name: str = "web") -> tuple[str, str]:
        """Status and reason of a deployment's condition."""
        found = [each for each in self.status(name).get("conditions", []) if each["type"] == kind]
        return (found[0]["status"], found[0]["reason"]) if found else ("", "")

    def complete(self, replicas: int, name: str = "web") -> bool:
        """Whether a deployment says that all is well, and is up to date."""
        status, generation = self.status(name), self.get(DEPLOYMENTS, name)["metadata"]["generation"]
        numbers = [status.get(each, 0) for each in ("replicas", "updatedReplicas", "availableReplicas")]
        return status.get("observedGeneration") == generation and numbers == [replicas] * 3

    def sets(self) -> dict[str, int]:
        """Wanted sizes of the replica sets by the image of their template."""
        found = self.registry.list(REPLICASETS, "default")
        return {each["spec"]["template"]["spec"]["containers"][0]["image"]: each["spec"]["replicas"] for each in found}

    async def change(self, resource: Resource, name: str, change: Callable[[Object], Any]) -> None:
        """Change an object in place."""

        def changed(found: Object) -> Object:
            change(found)
            return found

        assert await self.registry.modify(resource, name, "default", changed) is not None

    async def set_ready(self, pod: Object, ready: bool = True) -> None:
        """What the node would say of a running pod."""
        self._addresses += 1
        address = f"10.244.{self._addresses // 250}.{self._addresses % 250 + 1}"
        condition = {
            "type": "Ready",
            "status": "True" if ready else "False",
            "lastTransitionTime": timestamp(now()),
        }

        def change(found: Object) -> Object:
            status = found.get("status") or {}
            status |= {"phase": "Running", "podIP": status.get("podIP", address), "conditions": [condition]}
            return found | {"status": status}

        await self.registry.modify(
            PODS, pod["metadata"]["name"], pod["metadata"]["namespace"], change, subresource="status"
        )

    async def run_node(self) -> None:
        """Make pods ready (when `automatic`), and let go of deleted ones at once."""
        async for event in follow(self.registry, PODS):
            if event.type in (BOOKMARK, DELETED):
                continue
            metadata = event.object["metadata"]
            if "deletionTimestamp" in metadata:
                options = DeleteOptions(grace_period=0, uid=metadata["uid"])
                try:
                    await self.registry.delete(PODS, metadata["name"], metadata["namespace"], options=options)
                except ApiError as error:
                    if error.reason not in ("NotFound", "Conflict"):
                        raise
            elif self.automatic and not (event.object.get("status") or {}).get("podIP"):
                await self.set_ready(event.object)


@asynccontextmanager
async def running_cluster() -> AsyncIterator[Cluster]:
    """A cluster for the length of a test; what fails in it fails the test."""
    cluster = Cluster()
    await cluster.registry.bootstrap()
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(cluster.controllers.run()),
            group.create_task(cluster.run_node()),
        ]
        try:
            yield cluster
        finally:
            for task in tasks:
                task.cancel()


def deployment(replicas: int = 3, image: str = "one", **spec: Any) -> Object:
    """A Deployment as a person writes it."""
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": image}]}}
    wanted = {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": wanted | spec,
    }


def set_image(image: str) -> Callable[[Object], None]:
    """A change of the template."""

    def change(found: Object) -> None:
        found["spec"]["template"]["spec"]["containers"][0]["image"] = image

    return change
