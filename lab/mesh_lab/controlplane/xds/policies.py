"""DestinationRules: which of them holds for a host, and what it says about a port and a subset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import TypeVar

from msgspec import structs

from mesh_lab.controlplane.model import DestinationRule
from mesh_lab.controlplane.model.choosing import ChosenSubset, Fallback, ServiceRule
from mesh_lab.controlplane.model.destinationrule import (
    ClientTLSSettings,
    ConnectionPoolSettings,
    LoadBalancerSettings,
    OutlierDetection,
    PortTrafficPolicy,
    ProxyProtocol,
    RetryBudget,
    Subset,
    TrafficPolicy,
    TunnelSettings,
)
from mesh_lab.controlplane.model.internal import BackendRule
from mesh_lab.controlplane.model.mesh import DefaultTrafficPolicy
from mesh_lab.controlplane.world.kubernetes import Origin
from mesh_lab.controlplane.world.snapshot import Config
from mesh_lab.controlplane.xds.memo import memoised

P = TypeVar("P", TrafficPolicy, PortTrafficPolicy)


@dataclass(frozen=True, eq=False)
class HostRules:
    """The DestinationRules of one namespace for a host, merged as Istio does.

    The policy is the oldest one's; subsets add up, and of two with one name the older stays. `received` is the policy
    for the servers' own sidecars: a rule for some clients only does not hold there. `selective`: the policy is for the
    workloads that a rule selects, which may have Secrets then. `fallbacks` stand in for the endpoints as a whole.
    """

    policy: TrafficPolicy | None
    received: TrafficPolicy | None
    subsets: tuple[Subset, ...]
    origins: tuple[Origin, ...]
    selective: bool = False
    fallbacks: tuple[Fallback, ...] = ()

    def subset(self, name: str) -> Subset | None:
        """The subset of that name."""
        return next((subset for subset in self.subsets if subset.name == name), None)

    def standing_in(self, name: str) -> tuple[Fallback, ...]:
        """Who stands in for a subset, or, without a name, for all endpoints."""
        if not name:
            return self.fallbacks
        subset = self.subset(name)
        return subset.fallbacks if isinstance(subset, ChosenSubset) else ()


@dataclass(frozen=True)
class Policy:
    """What applies to one port of one subset."""

    load_balancer: LoadBalancerSettings | None = None
    connection_pool: ConnectionPoolSettings | None = None
    outlier_detection: OutlierDetection | None = None
    tls: ClientTLSSettings | None = None
    tunnel: TunnelSettings | None = None
    proxy_protocol: ProxyProtocol | None = None
    retry_budget: RetryBudget | None = None


NO_POLICY = Policy()


@memoised
def merge_rules(configs: Sequence[Config[DestinationRule]]) -> HostRules:
    """Merge rules for one host, oldest first. Policies of backends fill in what DestinationRules leave out."""
    specs = [config.spec for config in configs]
    written = [spec for spec in specs if not isinstance(spec, BackendRule)]
    policies = [spec.traffic_policy for spec in written if spec.traffic_policy is not None]
    for_all = [spec.traffic_policy for spec in written if spec.workload_selector is None and spec.traffic_policy]
    of_backend = reduce(filled, (spec.traffic_policy for spec in specs if isinstance(spec, BackendRule)), None)
    subsets: dict[str, Subset] = {}
    for config in configs:
        for subset in config.spec.subsets:
            subsets.setdefault(subset.name, subset)
    return HostRules(
        filled(policies[0] if policies else None, of_backend),
        filled(for_all[0] if for_all else None, of_backend),
        tuple(subsets.values()),
        tuple(config.origin for config in configs),
        any(config.spec.workload_selector is not None for config in configs),
        next((config.spec.fallbacks for config in configs if isinstance(config.spec, ServiceRule)), ()),
    )


def filled(policy: TrafficPolicy | None, by: TrafficPolicy | None) -> TrafficPolicy | None:
    """A policy with what it leaves out as another has it, port by port, too."""
    if policy is None or by is None:
        return policy or by
    own = {each.port.number: each for each in policy.port_level_settings if each.port}
    ports = [_filled(own.pop(each.port.number, None), each) for each in by.port_level_settings if each.port]
    return structs.replace(_filled(policy, by), port_level_settings=[*own.values(), *ports])


def _filled(policy: P | None, by: P) -> P:
    if policy is None:
        return by
    missing = {field: getattr(by, field) for field in by.__struct_fields__ if not getattr(policy, field)}
    return structs.replace(policy, **missing)


def effective(
    rules: HostRules | None, port: int, subset: str = "", default: DefaultTrafficPolicy | None = None
) -> Policy:
    """The policy of a port of a subset: the subset's settings over the host's, and a port's own over both.

    What the host's leave out is as the mesh has it by `default` (`defaultTrafficPolicy`).
    """
    policy = _defaulted(_overlay(NO_POLICY, rules.policy if rules is not None else None, port), default)
    chosen = rules.subset(subset) if rules is not None and subset else None
    return _overlay(policy, chosen.traffic_policy, port) if chosen is not None else policy


def received(
    rules: HostRules | None, port: int, default: DefaultTrafficPolicy | None = None
) -> ConnectionPoolSettings | None:
    """The limits of connections and requests to a port, for the sidecar of the server that is called."""
    policy = _overlay(NO_POLICY, rules.received if rules is not None else None, port)
    return _defaulted(policy, default).connection_pool


def _defaulted(policy: Policy, default: DefaultTrafficPolicy | None) -> Policy:
    if default is None:
        return policy
    return replace(
        policy,
        connection_pool=policy.connection_pool or default.connection_pool,
        outlier_detection=policy.outlier_detection or default.outlier_detection,
    )


def _overlay(base: Policy, policy: TrafficPolicy | None, port: int) -> Policy:
    """Settings for a port replace the others: what they leave out is Istio's default, not the destination's setting.

    A port has no settings of its own for the last three.
    """
    if policy is None:
        return base
    own = next((each for each in policy.port_level_settings if each.port and each.port.number == port), None)
    return Policy(
        own.load_balancer if own else policy.load_balancer or base.load_balancer,
        own.connection_pool if own else policy.connection_pool or base.connection_pool,
        own.outlier_detection if own else policy.outlier_detection or base.outlier_detection,
        own.tls if own else policy.tls or base.tls,
        policy.tunnel or base.tunnel,
        policy.proxy_protocol or base.proxy_protocol,
        policy.retry_budget or base.retry_budget,
    )
