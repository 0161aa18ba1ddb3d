"""The Node object, and the lease that says that its node is alive."""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from mesh_lab.conditions import condition
from mesh_lab.kube import VERSION
from mesh_lab.kube.config import FROM_HOST, KubeConfig
from mesh_lab.kube.errors import ApiError
from mesh_lab.kube.node.images import Images
from mesh_lab.kube.registry import Object, Registry
from mesh_lab.kube.resources import LEASES, NODES
from mesh_lab.networkfaults import KINDS, KINDS_ANNOTATION
from mesh_lab.rfc3339 import micro_timestamp, parse, timestamp

log = logging.getLogger(__name__)

LEASE_NAMESPACE = "kube-node-lease"
RENEW_SECONDS = 10
REGISTER_AGAIN_SECONDS = 2
_LEASE_SECONDS = 40
_PODS = 250
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_CONDITIONS = (
    ("MemoryPressure", "False", "KubeletHasSufficientMemory", "the node has sufficient memory available"),
    ("DiskPressure", "False", "KubeletHasNoDiskPressure", "the node has no disk pressure"),
    ("PIDPressure", "False", "KubeletHasSufficientPID", "the node has sufficient PID available"),
    ("Ready", "True", "KubeletReady", "the node is posting ready status"),
)


def capacity(state: Path) -> dict[str, str]:
    """Return the machine's resources as quantities."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 1024
    return {
        "cpu": str(len(os.sched_getaffinity(0))),
        "memory": f"{memory}Ki",
        "ephemeral-storage": f"{shutil.disk_usage(state).total // 1024}Ki",
        "pods": str(_PODS),
    }


def allocatable(amounts: Mapping[str, str]) -> dict[str, Decimal]:
    """Return the same as numbers."""
    return {
        name: Decimal(text.removesuffix("Ki")) * (1024 if text.endswith("Ki") else 1) for name, text in amounts.items()
    }


async def register(registry: Registry, config: KubeConfig, images: Images) -> None:
    """Create or update the Node object: Ready, with its addresses and resources.

    Tried until it succeeds, as a kubelet does: a webhook may refuse it, and only a running cluster can lose a webhook.
    """
    while True:
        try:
            return await _register(registry, config, images)
        except ApiError as error:
            log.warning("the node is not registered: %s; again in %d s", error, REGISTER_AGAIN_SECONDS)
            await asyncio.sleep(REGISTER_AGAIN_SECONDS)


async def _register(registry: Registry, config: KubeConfig, images: Images) -> None:
    name = config.node_name
    architecture = _ARCHITECTURES.get(platform.machine(), platform.machine())
    labels = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": architecture,
        "node-role.kubernetes.io/control-plane": "",
    }
    ranges = {"podCIDR": config.pod_cidr, "podCIDRs": list(config.pod_cidrs)}
    if registry.find(NODES, name) is None:
        await registry.create(NODES, {"metadata": {"name": name, "labels": labels}, "spec": ranges})

    def present(node: Object) -> Object:
        metadata = node["metadata"]
        annotations = {**(metadata.get("annotations") or {}), KINDS_ANNOTATION: ",".join(KINDS)}
        return {
            **node,
            "metadata": {**metadata, "annotations": annotations},
            "spec": {**node.get("spec", {}), **ranges},
        }

    # A lab goes on with its Node when it comes up as another version, or with another choice of families.
    await registry.modify(NODES, name, "", present)

    def change(node: Object) -> Object:
        return {**node, "status": _status(node.get("status") or {}, config, architecture, images)}

    await registry.modify(NODES, name, "", change, subresource="status")


async def heartbeat(registry: Registry, config: KubeConfig) -> None:
    """Renew the lease until cancelled."""
    name = config.node_name
    while True:
        spec = {"holderIdentity": name, "leaseDurationSeconds": _LEASE_SECONDS, "renewTime": micro_timestamp()}
        try:
            if await registry.modify(LEASES, name, LEASE_NAMESPACE, _renewal(spec)) is None:
                await registry.create(LEASES, {"metadata": {"name": name, "namespace": LEASE_NAMESPACE}, "spec": spec})
        except ApiError as error:
            log.warning("the node's lease is not renewed: %s", error)
        await asyncio.sleep(RENEW_SECONDS)


def overdue(registry: Registry, config: KubeConfig) -> str:
    """Return that the node's lease has run out, if it has; empty otherwise."""
    lease = registry.find(LEASES, config.node_name, LEASE_NAMESPACE)
    if lease is None:
        return "the node has no lease yet"
    since = (datetime.now(UTC) - parse(lease["spec"]["renewTime"])).total_seconds()
    return f"the node's lease was last renewed {since:.0f} s ago" if since > _LEASE_SECONDS else ""


def _renewal(spec: dict[str, Any]) -> Any:
    return lambda lease: {**lease, "spec": {**(lease.get("spec") or {}), **spec}}


def _status(old: Mapping[str, Any], config: KubeConfig, architecture: str, images: Images) -> dict[str, Any]:
    now, before = timestamp(), old.get("conditions")
    conditions = [{**condition(before, *each, now=now), "lastHeartbeatTime": now} for each in _CONDITIONS]
    amounts = capacity(config.state)
    return {
        "capacity": amounts,
        "allocatable": amounts,
        "conditions": conditions,
        "addresses": [
            *({"type": "InternalIP", "address": address} for address in config.node_addresses),
            {"type": "ExternalIP", "address": FROM_HOST},
            {"type": "Hostname", "address": config.node_name},
        ],
        "images": [{"names": [image.name], "sizeBytes": 0} for image in images.all()],
        "nodeInfo": {
            "architecture": architecture,
            "operatingSystem": "linux",
            "kernelVersion": platform.release(),
            "osImage": _os_name(),
            "kubeletVersion": VERSION,
            "kubeProxyVersion": VERSION,
            "containerRuntimeVersion": "mesh-lab://1",
            "machineID": "",
            "systemUUID": "",
            "bootID": "",
        },
    }


def _os_name() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        return "Linux"
