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

from mesh_lab.controlplane.model.choosing import Instances
from mesh_lab.controlplane.world.kubernetes import Pod
from mesh_lab.controlplane.world.locality import Locality, with_topology
from mesh_lab.controlplane.world.snapshot import Endpoint, ServiceEndpoints
from mesh_lab.controlplane.xds import names
from mesh_lab.controlplane.xds.built import Built, build, wire
from mesh_lab.controlplane.xds.clusters import Peers, address_of
from mesh_lab.controlplane.xds.localities import Group, Member, Order, preferred, weight_of
from mesh_lab.controlplane.xds.memo import memoised
from mesh_lab.controlplane.xds.mtls import PeerPolicies, selects
from mesh_lab.controlplane.xds.peers import pack
from mesh_lab.controlplane.xds.services import MeshPort, MeshService, Resolution
from mesh_lab.controlplane.xds.trustdomains import TrustDomains, spiffe
from mesh_lab.controlplane.xds.typeurls import EDS

_MUTUAL = Struct(fields={"tlsMode": Value(string_value="istio")})


class Selection(NamedTuple):
    """A port of a service, and a subset of its endpoints: those whose pods carry `labels`, and are among `instances`.

    `passed_on`: those that speak mutual TLS, for a gateway that passes it on (see `snidnat`). `backed`: others stand in
    for them (see `fallbacks`).
    """

    service: MeshService
    port: MeshPort
    subset: str
    labels: tuple[tuple[str, str], ...]
    passed_on: bool = False
    instances: Instances | None = None
    backed: bool = False

    @property
    def cluster(self) -> str:
        """The name of the cluster whose endpoints they are."""
        named = names.sni if self.passed_on else names.own_cluster if self.backed else names.outbound_cluster
        return named(self.port.number, self.subset, self.service.hostname)


@memoised
def assignment(
    selection: Selection, known: ServiceEndpoints, policies: PeerPolicies, order: Order | None = None
) -> Built:
    """The selected endpoints of those that are known, by locality, in the order in which a client prefers them."""
    service, port = selection.service, selection.port
    name = selection.cluster
    wanted = dict(selection.labels)
    members: dict[Locality, list[Member]] = {}
    for endpoint in known.endpoints:
        number = endpoint.ports.get(port.name)
        if number is not None and selection.passed_on and not speaks_mutual_tls(endpoint.pod, number, policies):
            continue
        if number is not None and _carries(endpoint, wanted, selection.instances):
            labels = _labels(endpoint) if order is not None and order.by_labels else {}
            member = Member(_endpoint(endpoint, number, policies, named=not service.outside), labels)
            members.setdefault(endpoint.locality, []).append(member)
    groups = [Group(locality, tuple(some), weight_of(some)) for locality, some in sorted(members.items())]
    message = ClusterLoadAssignment(
        cluster_name=name,
        endpoints=[
            LocalityLbEndpoints(
                locality=base_pb2.Locality(
                    region=group.locality.region, zone=group.locality.zone, sub_zone=group.locality.subzone
                ),
                load_balancing_weight=UInt32Value(value=group.weight),
                lb_endpoints=[member.endpoint for member in group.members],
                priority=group.priority,
            )
            for group in (preferred(groups, order) if order is not None else groups)
        ],
    )
    labels_seen = {tuple(sorted(e.pod.labels.items())) for e in known.endpoints if e.pod is not None}
    deciding = (origin for each in sorted(labels_seen) for origin in policies.origins(dict(each)))
    return build(EDS, name, wire(message), [service.origin, *service.origins, *known.origins, *deciding])


@memoised
def located(selection: Selection, known: ServiceEndpoints, policies: PeerPolicies, order: Order | None = None) -> bytes:
    """The endpoints of a cluster that looks their names up: a part of the cluster. Nothing where there are none.

    A cluster that takes one address has one endpoint.
    """
    assigned = AnyMessage.FromString(assignment(selection, known, policies, order).body)
    message = ClusterLoadAssignment.FromString(assigned.value)
    if selection.service.resolution is Resolution.DNS_ROUND_ROBIN and message.endpoints:
        del message.endpoints[1:]
        del message.endpoints[0].lb_endpoints[1:]
    return wire(message) if message.endpoints else b""


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


def _carries(endpoint: Endpoint, labels: Mapping[str, str], instances: Instances | None) -> bool:
    pod = endpoint.pod
    if labels and (pod is None or not selects(labels, pod.labels)):
        return False
    return instances is None or (pod is not None and instances.include(pod.labels, pod.annotations))


def _labels(endpoint: Endpoint) -> Mapping[str, str]:
    """What an endpoint is, and where."""
    pod = endpoint.pod
    return with_topology(pod.labels if pod else {}, endpoint.locality, pod.node if pod else "")


def _endpoint(endpoint: Endpoint, port: int, policies: PeerPolicies, *, named: bool) -> LbEndpoint:
    metadata = base_pb2.Metadata()
    if speaks_mutual_tls(endpoint.pod, port, policies):
        metadata.filter_metadata["envoy.transport_socket_match"].CopyFrom(_MUTUAL)
    message = EndpointMessage(
        address=address_of(endpoint.address, port),
        # No DNS name is wanted here; an access log reads this at a fraction of what metadata costs.
        hostname=pack(endpoint.pod) if endpoint.pod and named else "",
    )
    for other in endpoint.more:
        message.additional_addresses.add(address=address_of(other, port))
    return LbEndpoint(
        endpoint=message,
        health_status=health_check_pb2.HEALTHY,
        load_balancing_weight=UInt32Value(value=endpoint.weight or 1),
        metadata=metadata,
    )
