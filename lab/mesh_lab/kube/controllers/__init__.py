"""The controllers of the embedded Kubernetes: each reconciles one kind of object with its specification."""

from __future__ import annotations

import asyncio

from mesh_lab.kube.config import KubeConfig
from mesh_lab.kube.controllers.clusterservices import ClusterServiceController
from mesh_lab.kube.controllers.endpoints import EndpointsController
from mesh_lab.kube.controllers.endpointslices import EndpointSliceController
from mesh_lab.kube.controllers.expiry import expire_events
from mesh_lab.kube.controllers.garbage import GarbageCollector
from mesh_lab.kube.controllers.mirroring import EndpointSliceMirroringController
from mesh_lab.kube.controllers.namespaces import NamespaceController
from mesh_lab.kube.controllers.serviceaccounts import ServiceAccountController
from mesh_lab.kube.controllers.taints import TaintEvictionController
from mesh_lab.kube.controllers.workloads.deployments import DeploymentController
from mesh_lab.kube.controllers.workloads.replicasets import ReplicaSetController
from mesh_lab.kube.controllers.workloads.statefulsets import StatefulSetController
from mesh_lab.kube.registry.registry import Registry

__all__ = ["Controllers"]


class Controllers:
    """All controllers. `root_certificate` is the API server's authority, as PEM."""

    def __init__(self, registry: Registry, config: KubeConfig, root_certificate: str) -> None:
        self._registry = registry = registry.under("kube-controller-manager")
        self._loops = (
            ClusterServiceController(registry, config),
            ServiceAccountController(registry, root_certificate),
            NamespaceController(registry),
            DeploymentController(registry),
            ReplicaSetController(registry),
            StatefulSetController(registry),
            EndpointSliceController(registry),
            EndpointsController(registry),
            EndpointSliceMirroringController(registry),
            GarbageCollector(registry),
            TaintEvictionController(registry),
        )

    async def run(self) -> None:
        """Run until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(expire_events(self._registry))
            for each in self._loops:
                tasks.create_task(each.run(), name=each.name)

    def trouble(self) -> str:
        """Return which controllers have not listed their sources yet; empty when all have."""
        names = [each.name for each in self._loops if not each.synced]
        return f"not synced yet: {', '.join(names)}" if names else ""
