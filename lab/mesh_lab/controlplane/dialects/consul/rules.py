"""ServiceResolvers as the internal model has them: subsets, who stands in for them, and how instances are chosen."""

from __future__ import annotations

from collections.abc import Iterator

from mesh_lab.controlplane.dialects.consul.chain import Misfit, Target, failed_over, moved
from mesh_lab.controlplane.dialects.consul.filters import parse
from mesh_lab.controlplane.dialects.consul.kinds import ServiceResolver
from mesh_lab.controlplane.dialects.consul.kinds.resolver import HashPolicy, LoadBalancer
from mesh_lab.controlplane.dialects.consul.objects import Entry, Sources
from mesh_lab.controlplane.model import DestinationRule
from mesh_lab.controlplane.model.choosing import ChosenSubset, Fallback, ServiceRule
from mesh_lab.controlplane.model.destinationrule import (
    ConnectionPoolSettings,
    ConsistentHashLB,
    HTTPCookie,
    LoadBalancerSettings,
    Maglev,
    RingHash,
    SimpleLB,
    Subset,
    TCPSettings,
    TrafficPolicy,
)
from mesh_lab.controlplane.model.units import nanoseconds
from mesh_lab.controlplane.world.kubernetes import ObjectKey
from mesh_lab.controlplane.world.snapshot import Config

ANY_SUBSET = "*"
_SIMPLE: dict[str, SimpleLB] = {"random": "RANDOM", "round_robin": "ROUND_ROBIN", "least_request": "LEAST_REQUEST"}
_SESSION = "0s"


def destination_rule(entry: Entry[ServiceResolver], sources: Sources) -> Config[DestinationRule]:
    """What a resolver says of its own service's instances."""
    key = (entry.origin.namespace, entry.origin.name)
    return Config(entry.origin, key[0], f"{key[1]}-consul", {}, entry.created, rule(entry, key, sources))


def rule(entry: Entry[ServiceResolver], key: ObjectKey, sources: Sources) -> ServiceRule:
    """The same, as the rule alone."""
    spec = entry.spec
    return ServiceRule(
        host=sources.host(key),
        traffic_policy=policy(spec),
        subsets=list(_subsets(spec, key, sources)),
        export_to=["*"],
        fallbacks=tuple(fallbacks(spec, Target(key), sources)),
    )


def _subsets(spec: ServiceResolver, key: ObjectKey, sources: Sources) -> Iterator[Subset]:
    for name, subset in spec.subsets.items():
        instances = parse(subset.filter) if subset.filter else None
        yield ChosenSubset(name, instances=instances, fallbacks=tuple(fallbacks(spec, Target(key, name), sources)))


def fallbacks(spec: ServiceResolver, target: Target, sources: Sources) -> Iterator[Fallback]:
    """Who stands in for a target, in their order; those that lead nowhere are left out (see `misfits`)."""
    for other in _standing_in(spec, target):
        try:
            found = failed_over(sources, other)
        except ValueError:
            continue
        if found != target:
            yield Fallback(sources.host(found.service), found.subset)


def misfits(entry: Entry[ServiceResolver], sources: Sources) -> Iterator[Misfit]:
    """What stands in for nothing, since it leads nowhere."""
    key = (entry.origin.namespace, entry.origin.name)
    for subset in entry.spec.failover:
        for other in _standing_in(entry.spec, Target(key, "" if subset == ANY_SUBSET else subset)):
            try:
                failed_over(sources, other)
            except ValueError as error:
                yield Misfit(entry.origin, f"failover of {key[1]!r} {error}")


def _standing_in(spec: ServiceResolver, target: Target) -> Iterator[Target]:
    failover = spec.failover.get(target.subset) or spec.failover.get(ANY_SUBSET)
    if failover is None:
        return
    if failover.targets:
        yield from (moved(target, each) for each in failover.targets)
    else:
        yield moved(target, failover)


def policy(spec: ServiceResolver) -> TrafficPolicy | None:
    """How instances are connected to, and chosen."""
    limit = spec.connect_timeout
    pool = ConnectionPoolSettings(tcp=TCPSettings(connect_timeout=limit)) if limit and nanoseconds(limit) else None
    balancer = _balancer(spec.load_balancer) if spec.load_balancer is not None else None
    return TrafficPolicy(balancer, pool) if pool is not None or balancer is not None else None


def _balancer(spec: LoadBalancer) -> LoadBalancerSettings | None:
    if spec.policy in _SIMPLE:
        return LoadBalancerSettings(simple=_SIMPLE[spec.policy])
    if spec.policy == "maglev":
        return LoadBalancerSettings(consistent_hash=_hash(spec, ConsistentHashLB(maglev=Maglev())))
    if spec.policy == "ring_hash":
        size = spec.ring_hash_config.minimum_ring_size if spec.ring_hash_config is not None else 0
        ring = ConsistentHashLB(ring_hash=RingHash(minimum_ring_size=size or None))
        return LoadBalancerSettings(consistent_hash=_hash(spec, ring))
    return None


def _hash(spec: LoadBalancer, ring: ConsistentHashLB) -> ConsistentHashLB:
    """What is hashed; without anything an instance is chosen at random."""
    if not spec.hash_policies:
        return ring
    return _hashed(spec.hash_policies[0], ring)


def _hashed(first: HashPolicy, ring: ConsistentHashLB) -> ConsistentHashLB:
    header = cookie = query = None
    if first.field_ == "header":
        header = first.field_value
    elif first.field_ == "query_parameter":
        query = first.field_value
    elif first.field_ == "cookie":
        config = first.cookie_config
        ttl = (_SESSION if config.session else config.ttl) if config is not None else None
        cookie = HTTPCookie(first.field_value, config.path if config is not None else "", ttl)
    return ConsistentHashLB(
        http_header_name=header,
        http_cookie=cookie,
        use_source_ip=first.source_ip or None,
        http_query_parameter_name=query,
        ring_hash=ring.ring_hash,
        maglev=ring.maglev,
    )
