"""The configuration for kind: nodes, zones, the gateway's ports on the host, registry mirrors.

See https://kind.sigs.k8s.io/docs/user/configuration/ and, for mirrors, containerd's docs/hosts.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mesh_lab.settings import Kind

ZONE_LABEL = "topology.kubernetes.io/zone"
NODE_PORTS = {"http": 30080, "https": 30443}
"""The ingress gateway's port on each node, by the name of the host's port: the node ports of Istio's Service."""


# A kubelet of 1.35 and later does not start on cgroup v1 unless its configuration says so.
# https://kubernetes.io/docs/reference/config-api/kubelet-config.v1beta1/
_CGROUP_V1_PATCH = "kind: KubeletConfiguration\nfailCgroupV1: false\n"

HOSTS_DIRECTORY = "/etc/containerd/certs.d"
# Node images of kind v0.27 and later look there by themselves.
_HOSTS_DIRECTORY_PATCH = f'[plugins."io.containerd.grpc.v1.cri".registry]\n  config_path = "{HOSTS_DIRECTORY}"\n'


def config(
    name: str, kind: Kind, ports: Mapping[str, int], hosts_directory: str, *, cgroups: str = "", ip_family: str = "ipv4"
) -> dict[str, Any]:
    """The `Cluster` for `kind create cluster --config`.

    `ports` are the host's: `api`, `http` and `https`. `hosts_directory` is where this machine has the `hosts_files`.
    `cgroups` is the version that containers run on; empty for what is not known. `ip_family` is kind's own word.
    """
    nodes: list[dict[str, Any]] = []
    for number in range(kind.nodes):
        node: dict[str, Any] = {
            "role": "worker" if number else "control-plane",
            "image": kind.node_image,
            "labels": {ZONE_LABEL: kind.zones[number % len(kind.zones)]},
        }
        nodes.append(node)
    nodes[0]["extraPortMappings"] = [
        {"containerPort": port, "hostPort": ports[label], "listenAddress": "127.0.0.1", "protocol": "TCP"}
        for label, port in NODE_PORTS.items()
    ]
    document: dict[str, Any] = {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "name": name,
        "networking": {"apiServerAddress": "127.0.0.1", "apiServerPort": ports["api"]},
        "nodes": nodes,
    }
    if ip_family != "ipv4":
        document["networking"]["ipFamily"] = ip_family
    if cgroups == "1":
        document["kubeadmConfigPatches"] = [_CGROUP_V1_PATCH]
    if kind.registry_mirrors:
        document["containerdConfigPatches"] = [_HOSTS_DIRECTORY_PATCH]
        for node in nodes:
            node["extraMounts"] = [{"hostPath": hosts_directory, "containerPath": HOSTS_DIRECTORY, "readOnly": True}]
    return document


def render(
    name: str, kind: Kind, ports: Mapping[str, int], hosts_directory: str, *, cgroups: str = "", ip_family: str = "ipv4"
) -> str:
    """The configuration as a file. JSON is YAML, and leaves no doubt about what is quoted."""
    return json.dumps(config(name, kind, ports, hosts_directory, cgroups=cgroups, ip_family=ip_family), indent=2) + "\n"


def hosts_files(mirrors: Mapping[str, str]) -> dict[str, str]:
    """Return `hosts.toml` of containerd for each mirrored registry, by path below `HOSTS_DIRECTORY`.

    containerd tries the mirror first, then the registry itself.
    """
    return {
        f"{registry}/hosts.toml": f"server = {json.dumps(_home(registry))}\n\n"
        f'[host.{json.dumps(mirror)}]\n  capabilities = ["pull", "resolve"]\n'
        for registry, mirror in sorted(mirrors.items())
    }


def _home(registry: str) -> str:
    """Docker Hub's images are not served by the host that they are named for."""
    return f"https://{'registry-1.docker.io' if registry == 'docker.io' else registry}"
