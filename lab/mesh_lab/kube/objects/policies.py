"""NetworkPolicies, as the network reads them.

https://kubernetes.io/docs/reference/kubernetes-api/policy-resources/network-policy-v1/
"""

from __future__ import annotations

import msgspec

from mesh_lab.kube.objects.meta import LabelSelector, ObjectMeta, View


class PolicyPort(View, frozen=True, kw_only=True):
    """Ports that a rule allows: one by number or by name, a range up to `end_port`, or all of the protocol's."""

    protocol: str = "TCP"
    port: int | str | None = None
    end_port: int | None = None


class IpBlock(View, frozen=True, kw_only=True):
    """A network without parts of it."""

    cidr: str
    excepted: tuple[str, ...] = msgspec.field(default=(), name="except")


class PolicyPeer(View, frozen=True, kw_only=True):
    """Who may be at the other end: pods by their labels and their namespaces', or addresses."""

    pod_selector: LabelSelector | None = None
    namespace_selector: LabelSelector | None = None
    ip_block: IpBlock | None = None


class IngressRule(View, frozen=True, kw_only=True):
    """Peers and ports, both of which must hold; none means any."""

    peers: tuple[PolicyPeer, ...] = msgspec.field(default=(), name="from")
    ports: tuple[PolicyPort, ...] = ()


class EgressRule(View, frozen=True, kw_only=True):
    """The same outward."""

    peers: tuple[PolicyPeer, ...] = msgspec.field(default=(), name="to")
    ports: tuple[PolicyPort, ...] = ()


class PolicySpec(View, frozen=True, kw_only=True):
    """The pods that are isolated, in which directions, and what they may do all the same."""

    pod_selector: LabelSelector = LabelSelector()
    policy_types: tuple[str, ...] = ()
    ingress: tuple[IngressRule, ...] = ()
    egress: tuple[EgressRule, ...] = ()


class NetworkPolicy(View, frozen=True, kw_only=True):
    """A policy."""

    metadata: ObjectMeta
    spec: PolicySpec = PolicySpec()
