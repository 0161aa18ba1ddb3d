"""The controllers of the embedded Kubernetes: each makes one kind of object match what its owner asked for."""

from __future__ import annotations

import asyncio

from lab.kube.config import KubeConfig
from lab.kube.controllers.clusterservices import ClusterServiceController
from lab.kube.controllers.deployments import DeploymentController
from lab.kube.controllers.endpointslices import EndpointSliceController
from lab.kube.controllers.expiry import expire_events
from lab.kube.controllers.garbage import GarbageCollector
from lab.kube.controllers.namespaces import NamespaceController
from lab.kube.controllers.replicasets import ReplicaSetController
from lab.kube.controllers.serviceaccounts import ServiceAccountController
from lab.kube.registry.registry import Registry

__all__ = ["run_controllers"]


async def run_controllers(registry: Registry, config: KubeConfig, root_certificate: str) -> None:
    """Run all controllers until cancelled. `root_certificate` is the API server's authority, as PEM."""
    loops = (
        ClusterServiceController(registry, config),
        ServiceAccountController(registry, root_certificate),
        NamespaceController(registry),
        DeploymentController(registry),
        ReplicaSetController(registry),
        EndpointSliceController(registry),
        GarbageCollector(registry),
    )
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(expire_events(registry))
        for each in loops:
            tasks.create_task(each.run(), name=each.name)
