"""EDS: the ready endpoints of a cluster, each with a mark for whether it speaks mutual TLS."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from envoy.config.core.v3 import base_pb2, health_check_pb2
from envoy.config.endpoint.v3.endpoint_components_pb2 import Endpoint as EndpointMessage
from envoy.config.endpoint.v3.endpoint_components_pb2 import LbEndpoint, LocalityLbEndpoints
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.struct_pb2 import Struct, Value
from google.protobuf.wrappers_pb2 import UInt32Value

from mesh_lab.controlplane.world.kubernetes import Pod
from mesh_lab.controlplane.world.snapshot import Endpoint, ServiceEndpoints
from mesh_lab.controlplane.xds import names
from mesh_lab.controlplane.xds.built import Built, build, wire
from mesh_lab.controlplane.xds.clusters import Peers, address_of
from mesh_lab.controlplane.xds.memo import memoised
from mesh_lab.controlplane.xds.mtls import PeerPolicies, selects
from mesh_lab.controlplane.xds.peers import pack
from mesh_lab.controlplane.xds.services import MeshPort, MeshService, Resolution
from mesh_lab.controlplane.xds.trustdomains import TrustDomains, spiffe
from mesh_lab.controlplane.xds.typeurls import EDS

_MUTUAL = Struct(fields={"tlsMode": Value(string_value="istio")})


class Selection(NamedTuple):
    """A port of a service, and a subset of its endpoints: those whose pods carry `labels`."""

    service: MeshService
    port: MeshPort
    subset: str
    labels: tuple[tuple[str, str], ...]


@memoised
def assignment(selection: Selection, known: ServiceEndpoints, policies: PeerPolicies) -> Built:
    """The selected endpoints of those that are known, by zone."""
    service, port = selection.service, selection.port
    name = names.outbound_cluster(port.number, selection.subset, service.hostname)
    wanted = dict(selection.labels)
    zones: dict[str, list[LbEndpoint]] = {}
    for endpoint in known.endpoints:
        number = endpoint.ports.get(port.name)
        if number is not None and _carries(endpoint, wanted):
            zones.setdefault(endpoint.zone, []).append(_endpoint(endpoint, number, policies, named=not service.outside))
    message = ClusterLoadAssignment(
        cluster_name=name,
        endpoints=[
            LocalityLbEndpoints(
                locality=_locality(zone),
                load_balancing_weight=UInt32Value(value=sum(member.load_balancing_weight.value for member in members)),
                lb_endpoints=members,
            )
            for zone, members in sorted(zones.items())
        ],
    )
    labels_seen = {tuple(sorted(e.pod.labels.items())) for e in known.endpoints if e.pod is not None}
    deciding = (origin for each in sorted(labels_seen) for origin in policies.origins(dict(each)))
    return build(EDS, name, wire(message), [service.origin, *service.origins, *known.origins, *deciding])


@memoised
def located(selection: Selection, known: ServiceEndpoints, policies: PeerPolicies) -> bytes:
    """The endpoints of a cluster that looks their names up: a part of the cluster. Nothing where there are none.

    A cluster that takes one address has one endpoint.
    """
    assigned = AnyMessage.FromString(assignment(selection, known, policies).body)
    message = ClusterLoadAssignment.FromString(assigned.value)
    if selection.service.resolution is Resolution.DNS_ROUND_ROBIN and message.endpoints:
        del message.endpoints[1:]
        del message.endpoints[0].lb_endpoints[1:]
    return wire(message) if message.endpoints else b""


def _locality(text: str) -> base_pb2.Locality:
    """A zone, or `REGION/ZONE/SUBZONE`."""
    if "/" not in text:
        return base_pb2.Locality(zone=text)
    region, zone, subzone = (*text.split("/", 2), "")[:3]
    return base_pb2.Locality(region=region, zone=zone, sub_zone=subzone)


@memoised
def peers_of(port: MeshPort, known: ServiceEndpoints, policies: PeerPolicies, trust: TrustDomains) -> Peers:
    """The peers behind a port. `all_mutual` holds when every ready endpoint speaks mutual TLS."""
    principals = tuple(
        identity
        for namespace, _, account in (name.partition("/") for name in known.accounts)
        for identity in spiffe(trust, namespace, account)
    )
    reachable = [(e, e.ports[port.name]) for e in known.endpoints if port.name in e.ports]
    return Peers(
        principals,
        all_mutual=all(speaks_mutual_tls(e.pod, number, policies) for e, number in reachable),
        some_meshed=any(e.pod is not None and e.pod.meshed for e, _ in reachable),
    )


def speaks_mutual_tls(pod: Pod | None, port: int, policies: PeerPolicies) -> bool:
    """Whether a pod's sidecar terminates mutual TLS on a port."""
    return pod is not None and pod.meshed and policies.mode(pod.labels, port) != "DISABLE"


def _carries(endpoint: Endpoint, labels: Mapping[str, str]) -> bool:
    return not labels or (endpoint.pod is not None and selects(labels, endpoint.pod.labels))


def _endpoint(endpoint: Endpoint, port: int, policies: PeerPolicies, *, named: bool) -> LbEndpoint:
    metadata = base_pb2.Metadata()
    if speaks_mutual_tls(endpoint.pod, port, policies):
        metadata.filter_metadata["envoy.transport_socket_match"].CopyFrom(_MUTUAL)
    return LbEndpoint(
        # No DNS name is wanted here; an access log reads this at a fraction of what metadata costs.
        endpoint=EndpointMessage(
            address=address_of(endpoint.address, port), hostname=pack(endpoint.pod) if endpoint.pod and named else ""
        ),
        health_status=health_check_pb2.HEALTHY,
        load_balancing_weight=UInt32Value(value=endpoint.weight or 1),
        metadata=metadata,
    )
