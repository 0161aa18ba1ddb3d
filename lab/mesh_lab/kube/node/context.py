"""What all pods of the node share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import msgspec

from mesh_lab.kube.config import KubeConfig
from mesh_lab.kube.node.client import Runtime
from mesh_lab.kube.node.env import Surroundings
from mesh_lab.kube.node.files.volumes import Tokens
from mesh_lab.kube.node.images import Images
from mesh_lab.kube.node.sandbox import Sandboxes
from mesh_lab.kube.node.scheduling import Room
from mesh_lab.kube.objects.nodes import Node, read_node
from mesh_lab.kube.objects.pods import Pod
from mesh_lab.kube.objects.services import Service
from mesh_lab.kube.recording import Recorder
from mesh_lab.kube.registry import Registry
from mesh_lab.kube.resources import CONFIGMAPS, NODES, SECRETS, SERVICES


@dataclass(frozen=True)
class NodeContext:
    """The node's parts, for one life of its runtime. `scheduling` records what it does as the scheduler."""

    config: KubeConfig
    registry: Registry
    tokens: Tokens
    recorder: Recorder
    scheduling: Recorder
    images: Images
    runtime: Runtime
    sandboxes: Sandboxes
    allocatable: Mapping[str, Decimal]
    room: Room

    def surroundings(self, pod: Pod, pod_ips: Sequence[str]) -> Surroundings:
        """Return what the pod's references (ConfigMaps, Secrets, fields) are looked up in, at present."""
        return Surroundings(
            config_map=lambda namespace, name: self.registry.find(CONFIGMAPS, name, namespace),
            secret=lambda namespace, name: self.registry.find(SECRETS, name, namespace),
            services=self._services(pod.metadata.namespace),
            pod_ips=tuple(pod_ips),
            host_ips=self.config.node_addresses,
            node_name=self.config.node_name,
            allocatable=self.allocatable,
        )

    def node(self) -> Node:
        """Return the node's object at present."""
        obj = self.registry.find(NODES, self.config.node_name)
        return read_node(obj or {"metadata": {"name": self.config.node_name}})

    def pod_directory(self, pod: Pod) -> Path:
        """Return the directory of the pod's volumes."""
        return self.runtime.directory / "pods" / pod.metadata.uid

    def log_directory(self, pod: Pod) -> Path:
        """Return the directory of the pod's logs, with one directory a container in it."""
        metadata = pod.metadata
        return log_root(self.config) / f"{metadata.namespace}_{metadata.name}_{metadata.uid}"

    def _services(self, namespace: str) -> Iterator[Service]:
        for obj in self.registry.list(SERVICES, namespace):
            yield msgspec.convert(obj, Service)
        if namespace != "default" and (api := self.registry.find(SERVICES, "kubernetes", "default")) is not None:
            yield msgspec.convert(api, Service)


def log_root(config: KubeConfig) -> Path:
    """Return the directory of all pods' logs."""
    return config.state / "logs"
