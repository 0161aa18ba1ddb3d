"""A sidecar's answers to its pod's questions of DNS, where it captures them (`ISTIO_META_DNS_CAPTURE`).

Envoy knows the hosts of ServiceEntries that have an address of their own, and asks the cluster's DNS for the rest. The
redirection brings it what the pod asks over UDP. Istio has its agent answer, which the lab has not:
https://istio.io/latest/docs/ops/configuration/traffic-management/dns-proxy/
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from envoy.config.core.v3.address_pb2 import Address, SocketAddress
from envoy.config.core.v3.extension_pb2 import TypedExtensionConfig
from envoy.config.listener.v3.listener_components_pb2 import ListenerFilter
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.listener.v3.udp_listener_config_pb2 import UdpListenerConfig
from envoy.data.dns.v3.dns_table_pb2 import DnsTable
from envoy.extensions.filters.udp.dns_filter.v3.dns_filter_pb2 import DnsFilterConfig
from envoy.extensions.network.dns_resolver.cares.v3.cares_dns_resolver_pb2 import CaresDnsResolverConfig

from mesh_lab.controlplane.world.kubernetes import Origin
from mesh_lab.controlplane.xds import names
from mesh_lab.controlplane.xds.built import Built, any_of, build, wire
from mesh_lab.controlplane.xds.memo import memoised
from mesh_lab.controlplane.xds.services import MeshService
from mesh_lab.controlplane.xds.typeurls import LDS

_TTL_SECONDS = 30
"""Istio's."""
_LOOKUP_SECONDS = 5
_PENDING_LOOKUPS = 1024


def listener(services: Iterable[MeshService]) -> Built:
    """The listener that answers, for a scope's services."""
    return _listener(tuple(_named(services)))


def _named(services: Iterable[MeshService]) -> Iterator[tuple[str, tuple[str, ...], Origin]]:
    for service in services:
        own = [each for each in (service.address, *service.other_family, *service.ranges) if each and "/" not in each]
        if service.is_entry and own:
            first = (next((each for each in own if (":" in each) is six), "") for six in (False, True))
            yield service.hostname, tuple(filter(None, first)), service.origin


@memoised
def _listener(known: tuple[tuple[str, tuple[str, ...], Origin], ...]) -> Built:
    table = DnsTable(external_retry_count=1)
    for host, addresses, _ in known:
        domain = table.virtual_domains.add(name=host)
        domain.endpoint.address_list.address.extend(addresses)
        domain.answer_ttl.seconds = _TTL_SECONDS
    config = DnsFilterConfig(stat_prefix="dns")
    config.server_config.inline_dns_table.CopyFrom(table)
    config.client_config.resolver_timeout.seconds = _LOOKUP_SECONDS
    config.client_config.max_pending_lookups = _PENDING_LOOKUPS
    # The names are whole: applications, which know the search domains too, have tried those by themselves.
    resolver = CaresDnsResolverConfig()
    resolver.dns_resolver_options.no_default_search_domain = True
    config.client_config.typed_dns_resolver_config.CopyFrom(
        TypedExtensionConfig(name="envoy.network.dns_resolver.cares", typed_config=any_of(resolver))
    )
    place = SocketAddress(protocol=SocketAddress.UDP, address="127.0.0.1", port_value=names.DNS_PORT)
    made = Listener(
        name=names.DNS,
        address=Address(socket_address=place),
        udp_listener_config=UdpListenerConfig(),
        listener_filters=[ListenerFilter(name="envoy.filters.udp.dns_filter", typed_config=any_of(config))],
    )
    return build(LDS, names.DNS, wire(made), [origin for _, _, origin in known])
