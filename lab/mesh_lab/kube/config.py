"""The configuration of the kube process: one JSON document, which it reads from an inherited descriptor.

A descriptor rather than a file, so that nothing has to be cleaned up when either of them is killed.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

FROM_HOST = "127.0.0.1"
"""The host's address of load-balanced ports and node ports."""

BALANCERS = "127.80.0.0/16"
"""The addresses of load balancers, one for each Service: the host answers there, and pods have a route to them. As part
of the host's loopback network they need neither rights nor a device, and no other machine reaches them. All labs share
the range."""

INGRESS_ADDRESS = "127.80.0.1"
"""That of the lab's ingress gateway, unless another lab has ports of its there."""

INGRESS_SERVICE = ("istio-system", "istio-ingressgateway")
"""The namespace and the name of the Service that `INGRESS_ADDRESS` is kept for."""


class HostPort(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A Service's port that the host's loopback answers on `host_port`."""

    namespace: str
    service: str
    port: int
    host_port: int


class ImageEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A program under an image's name (`[images."NAME"]` in lab.toml); `user` is the uid that it runs as.

    Its containers work in `path`, on the virtual environment `python`, and see the directories `shown` of the host, but
    for those below them that are `hidden`.
    """

    command: tuple[str, ...]
    args: tuple[str, ...] = ()
    env: dict[str, str] = msgspec.field(default_factory=dict)
    user: int | None = None
    path: str = ""
    python: str = ""
    shown: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()


class Site(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A name outside of the cluster (`*.NAME`: all below NAME), its addresses, and what answers on which ports.

    The name resolves to the first of the addresses.
    """

    name: str
    addresses: tuple[str, ...]
    serves: str = "page"
    title: str = ""
    root: str = ""
    https_only: bool = False
    http: tuple[int, ...] = ()
    https: tuple[int, ...] = ()
    tcp: tuple[int, ...] = ()


class SecondFamily(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The addresses of IPv6, of a lab that has both families: kind's ranges, of which pods take the first /64.

    DNS and the API server answer at their addresses of IPv4, as on a cluster that kind or kubeadm makes.
    """

    pod_cidr: str = "fd00:10:244::/64"
    service_cidr: str = "fd00:10:96::/112"
    node_address: str = "fd00:10:244::1"


class KubeConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of the embedded Kubernetes. Descriptors are inherited: API socket, control socket, lifeline pipe."""

    name: str
    state_dir: str
    api_fd: int
    control_fd: int
    lifeline_fd: int
    api_port: int
    rootless: bool
    pod_cidr: str = "10.244.0.0/16"
    service_cidr: str = "10.96.0.0/16"
    machine_cidr: str = "172.31.0.0/24"
    node_address: str = "10.244.0.1"
    dns_address: str = "10.96.0.10"
    api_service_address: str = "10.96.0.1"
    node_api_port: int = 6443
    cluster_domain: str = "cluster.local"
    read_only_dirs: tuple[str, ...] = ()
    images: dict[str, ImageEntry] = msgspec.field(default_factory=dict)
    host_ports: tuple[HostPort, ...] = ()
    internet: tuple[Site, ...] | None = None
    ipv6: SecondFamily | None = None

    @property
    def state(self) -> Path:
        """The directory of the lab's journal, logs, keys and kubeconfig."""
        return Path(self.state_dir)

    @property
    def pod_cidrs(self) -> tuple[str, ...]:
        """The range of pods' addresses for each family; the first is the default one."""
        return (self.pod_cidr,) if self.ipv6 is None else (self.pod_cidr, self.ipv6.pod_cidr)

    @property
    def service_cidrs(self) -> tuple[str, ...]:
        """The same of Services'."""
        return (self.service_cidr,) if self.ipv6 is None else (self.service_cidr, self.ipv6.service_cidr)

    @property
    def node_addresses(self) -> tuple[str, ...]:
        """The node's own."""
        return (self.node_address,) if self.ipv6 is None else (self.node_address, self.ipv6.node_address)

    @property
    def node_name(self) -> str:
        """The only node is named after the lab."""
        return self.name


def read_config(descriptor: int) -> KubeConfig:
    """Read the document to its end and close the descriptor.

    Raises:
        msgspec.ValidationError: the host process and this one disagree on the document's shape.
    """
    with os.fdopen(descriptor, "rb") as document:
        return msgspec.json.decode(document.read(), type=KubeConfig)
