"""The network of the embedded Kubernetes: the node's set-up, Services, cluster DNS, and ports of the host."""

from __future__ import annotations

import asyncio

from mesh_lab.kube.config import BALANCERS, KubeConfig
from mesh_lab.kube.network.dns import PORT, ClusterDns
from mesh_lab.kube.network.endpoints import Catalogue
from mesh_lab.kube.network.faults.injecting import Faults
from mesh_lab.kube.network.hostports import HostPorts
from mesh_lab.kube.network.hostsockets import HostSocketError, HostSockets
from mesh_lab.kube.network.nft import Nft
from mesh_lab.kube.network.node import NodeNetworkError, prepare_node
from mesh_lab.kube.network.policies.enforcing import NetworkPolicies
from mesh_lab.kube.network.policies.model import Member, NamedPort
from mesh_lab.kube.network.ruleset import FAMILY_6, Places
from mesh_lab.kube.network.services import ServiceNetwork
from mesh_lab.kube.recording import Recorder
from mesh_lab.kube.registry.registry import Registry

__all__ = ["HostSocketError", "HostSockets", "Network", "NodeNetworkError", "prepare_node"]


class Network:
    """Services, DNS, host ports, NetworkPolicies and faults, in the network namespace that `prepare_node` set up.

    Raises:
        NftError: nftables cannot be used here.
    """

    def __init__(self, registry: Registry, config: KubeConfig, host: HostSockets) -> None:
        self._registry = registry
        self._catalogue = Catalogue()
        self._nft = Nft()
        places = Places(config.node_address, config.service_cidr, config.dns_address, BALANCERS)
        self._services = [ServiceNetwork(self._catalogue, self._nft, places)]
        if config.ipv6 is not None:
            places = Places(config.ipv6.node_address, config.ipv6.service_cidr, family=FAMILY_6)
            self._services.append(ServiceNetwork(self._catalogue, self._nft, places))
        self._recorder = Recorder(registry, "network")
        self.policies = NetworkPolicies(registry, self._nft, self._recorder, [_dns(config.dns_address)])
        """What the node has to admit pods by."""
        self._faults = Faults(registry, self._nft, self._recorder, config.node_addresses)
        self._dns = ClusterDns(
            self._catalogue, config.cluster_domain, config.internet or (), dual=config.ipv6 is not None
        )
        self._dns_addresses = (config.dns_address, config.node_address)
        self._ports = HostPorts(registry, self._catalogue, host, config.host_ports)

    async def run(self) -> None:
        """Run until cancelled.

        Raises:
            OSError: the DNS addresses cannot be bound.
        """
        try:
            async with asyncio.TaskGroup() as tasks:
                for each in self._services:
                    tasks.create_task(each.run(), name="services")
                tasks.create_task(self._recorder.run(), name="events of the network")
                tasks.create_task(self.policies.run(), name="network policies")
                tasks.create_task(self._faults.run(), name="faults")
                tasks.create_task(self._dns.run(self._dns_addresses), name="dns")
                tasks.create_task(self._dns.entries.run(self._registry), name="names of entries")
                tasks.create_task(self._ports.run(), name="host ports")
                tasks.create_task(self._catalogue.run(self._registry), name="catalogue")
        finally:
            self._nft.close()

    def trouble(self) -> str:
        """Return what keeps the rules of Services or policies from being applied; empty when they are."""
        return next(filter(None, (each.trouble for each in self._services)), "") or self.policies.trouble


def _dns(address: str) -> Member:
    """Cluster DNS as policies see it: as the pods of CoreDNS, which other clusters have, though here it is the node."""
    ports = (NamedPort("dns", "udp", PORT), NamedPort("dns-tcp", "tcp", PORT))
    return Member("kube-system", {"k8s-app": "kube-dns"}, (address,), ports)
