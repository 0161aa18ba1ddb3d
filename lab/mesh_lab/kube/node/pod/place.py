"""Where a pod's containers run: volumes and a sandbox, made before the first of them and removed after the last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mesh_lab.kube.node.context import NodeContext
from mesh_lab.kube.node.env import expand
from mesh_lab.kube.node.files.volumes import PodVolumes
from mesh_lab.kube.node.pod import launch
from mesh_lab.kube.node.sandbox import MOST_FAMILIES, Sandbox
from mesh_lab.kube.objects.containers import Container
from mesh_lab.kube.objects.pods import Pod


@dataclass(frozen=True)
class PodPlace:
    """What a container gets from its pod: the sandbox and the volumes."""

    sandbox: Sandbox
    volumes: PodVolumes

    def mounts(self, container: Container, variables: dict[str, str]) -> list[launch.Mount]:
        """Return the container's mounts of the volumes.

        Raises:
            ConfigProblem: a sub-path leads out of its volume.
        """
        mounts = []
        for mount in container.volume_mounts:
            sub_path = expand(mount.sub_path_expr, variables) if mount.sub_path_expr else mount.sub_path
            source, inside = self.volumes.source(mount, sub_path)
            read_only = mount.read_only or self.volumes.is_read_only(mount.name)
            mounts.append(launch.Mount(source, mount.mount_path, read_only, inside))
        return mounts


class PlaceKeeper:
    """Makes a pod's place, keeps its volumes up to date, and removes it. What could not be made is made again."""

    def __init__(self, node: NodeContext) -> None:
        self._node = node
        self._volumes: PodVolumes | None = None
        self.sandbox: Sandbox | None = None
        """The pod's namespaces; None while it has none."""

    async def make(self, pod: Pod) -> PodPlace:
        """Fill the volumes, then make the sandbox.

        Raises:
            MountProblem: a volume cannot be filled.
            RuntimeFailure, NetlinkError, AddressesExhaustedError, IsolationError: there can be no sandbox at present.
        """
        directory = self._node.pod_directory(pod)
        volumes = self._volumes or PodVolumes(pod, directory, self._node.tokens)
        volumes.set_up(pod, self._node.surroundings(pod, ()))
        self._volumes = volumes
        shm = directory / "shm"
        shm.mkdir(parents=True, exist_ok=True)
        shm.chmod(0o1777)
        sysctls = {sysctl.name: sysctl.value for sysctl in pod.spec.security_context.sysctls}
        hostname, shared = launch.hostname(pod), pod.spec.host_network
        # What a pod is made of was settled when it was made: a sidecar of then redirects what there was to redirect.
        most = len(pod.status.pod_ips) or MOST_FAMILIES
        self.sandbox = await self._node.sandboxes.create(
            pod.metadata.uid, hostname, sysctls, host_network=shared, most=most
        )
        return PodPlace(self.sandbox, volumes)

    def mentions(self, plural: str, name: str) -> bool:
        """Return whether a volume is made of the ConfigMap, Secret or ServiceAccount of that name."""
        return self._volumes is not None and self._volumes.mentions(plural, name)

    @property
    def renew_at(self) -> float:
        """The time when a token must be renewed by `refresh`, on the monotonic clock."""
        return float("inf") if self._volumes is None else self._volumes.renew_at

    def refresh(self, pod: Pod, pod_ips: Sequence[str]) -> None:
        """Update the volumes, if there are any yet.

        Raises:
            MountProblem: they stay as they were.
        """
        if self._volumes is not None:
            self._volumes.set_up(pod, self._node.surroundings(pod, pod_ips))

    async def remove(self) -> None:
        """Remove what there is of sandbox and volumes."""
        if self.sandbox is not None:
            sandbox, self.sandbox = self.sandbox, None
            await self._node.sandboxes.remove(sandbox)
        if self._volumes is not None:
            self._volumes.remove()
            self._volumes = None
