"""ServiceResolver: which instances of a service are meant, and who stands in for them.

https://developer.hashicorp.com/consul/docs/connect/config-entries/service-resolver
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, field

from mesh_lab.controlplane.dialects.consul.kinds.common import FailoverPolicy, PrioritizeByLocality
from mesh_lab.controlplane.model.base import Duration, Spec, UInt32

RingSize = Annotated[int, Meta(ge=0, le=8388608)]  # Envoy's limit


class ServiceResolverSubset(Spec, frozen=True):
    """The instances for which an expression holds; all, where it is empty."""

    filter: str = ""
    only_passing: bool = False


class ServiceResolverRedirect(Spec, frozen=True):
    """Another service that is meant instead."""

    service: str = ""
    service_subset: str = ""
    namespace: str = ""
    partition: str = ""
    datacenter: str = ""
    peer: str = ""
    sameness_group: str = ""


class FailoverTarget(Spec, frozen=True):
    """One of several that stand in, in their order."""

    service: str = ""
    service_subset: str = ""
    namespace: str = ""
    partition: str = ""
    datacenter: str = ""
    peer: str = ""


class ServiceResolverFailover(Spec, frozen=True):
    """Who stands in where no instance is healthy."""

    service: str = ""
    service_subset: str = ""
    namespace: str = ""
    datacenters: list[str] = []
    targets: list[FailoverTarget] = []
    policy: FailoverPolicy | None = None
    sameness_group: str = ""


class RingHashConfig(Spec, frozen=True):
    """The size of a hash ring."""

    minimum_ring_size: RingSize = 0
    maximum_ring_size: RingSize = 0


class LeastRequestConfig(Spec, frozen=True):
    """Of how many instances, chosen at random, the one with the fewest requests is taken."""

    choice_count: UInt32 = 0


class CookieConfig(Spec, frozen=True):
    """The cookie that a proxy makes where the client has none."""

    session: bool = False
    ttl: Duration | None = None
    path: str = ""


class HashPolicy(Spec, frozen=True):
    """What of a request is hashed."""

    field_: str = field(default="", name="field")
    field_value: str = ""
    cookie_config: CookieConfig | None = None
    source_ip: bool = field(default=False, name="sourceIP")
    terminal: bool = False


class LoadBalancer(Spec, frozen=True):
    """How an instance is chosen."""

    policy: str = ""
    ring_hash_config: RingHashConfig | None = None
    least_request_config: LeastRequestConfig | None = None
    hash_policies: list[HashPolicy] = []


class ServiceResolver(Spec, frozen=True):
    """Subsets of a service, and where requests go that are for it."""

    default_subset: str = ""
    subsets: dict[str, ServiceResolverSubset] = {}
    redirect: ServiceResolverRedirect | None = None
    prioritize_by_locality: PrioritizeByLocality | None = None
    failover: dict[str, ServiceResolverFailover] = {}
    connect_timeout: Duration | None = None
    request_timeout: Duration | None = None
    load_balancer: LoadBalancer | None = None
