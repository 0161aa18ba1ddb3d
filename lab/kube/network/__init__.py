"""The network of the embedded Kubernetes: the node's set-up, Services, cluster DNS, and the way in from the host."""

from __future__ import annotations

import asyncio

from lab.kube.config import KubeConfig
from lab.kube.network.dns import ClusterDns
from lab.kube.network.endpoints import Catalogue
from lab.kube.network.hostports import HostPorts
from lab.kube.network.hostsockets import HostSocketError, HostSockets
from lab.kube.network.nft import Nft
from lab.kube.network.node import NodeNetworkError, prepare_node
from lab.kube.network.ruleset import Places
from lab.kube.network.services import ServiceNetwork
from lab.kube.registry.registry import Registry

__all__ = ["HostSocketError", "HostSockets", "NodeNetworkError", "prepare_node", "run_network"]


async def run_network(registry: Registry, config: KubeConfig, host: HostSockets) -> None:
    """Run Services, DNS and host ports until cancelled, in the network namespace that `prepare_node` set up.

    Raises:
        NftError: nftables cannot be used here.
        OSError: the DNS addresses cannot be bound.
    """
    catalogue = Catalogue()
    nft = Nft()
    places = Places(config.node_address, config.service_cidr, config.dns_address)
    services = ServiceNetwork(catalogue, nft, places)
    dns = ClusterDns(catalogue, config.cluster_domain)
    ports = HostPorts(registry, catalogue, host, config.host_ports)
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(services.run(), name="services")
            tasks.create_task(dns.run((config.dns_address, config.node_address)), name="dns")
            tasks.create_task(ports.run(), name="host ports")
            tasks.create_task(catalogue.run(registry), name="catalogue")
    finally:
        nft.close()
