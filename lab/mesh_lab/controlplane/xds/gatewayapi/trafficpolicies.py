"""XBackendTrafficPolicy (experimental channel): how many retries a Service may get.

https://gateway-api.sigs.k8s.io/geps/gep-3388/
"""

from __future__ import annotations

from collections.abc import Iterable

from mesh_lab.controlplane.model.destinationrule import DestinationRule, RetryBudget, TrafficPolicy
from mesh_lab.controlplane.model.gatewayapi import XBackendTrafficPolicy
from mesh_lab.controlplane.model.gatewayapi.policies import RetryConstraint
from mesh_lab.controlplane.model.internal import BackendRule
from mesh_lab.controlplane.model.units import nanoseconds
from mesh_lab.controlplane.world.gatewayapi import Resource
from mesh_lab.controlplane.world.kubernetes import ObjectKey
from mesh_lab.controlplane.world.snapshot import Config, Table
from mesh_lab.controlplane.xds import keeping
from mesh_lab.controlplane.xds.gatewayapi import targets
from mesh_lab.controlplane.xds.gatewayapi.sources import Sources, Verdict, spec_of
from mesh_lab.controlplane.xds.gatewayapi.targets import SUFFIX, Policy, Taken, Target
from mesh_lab.controlplane.xds.memo import memoised


def policies(sources: Sources) -> tuple[Policy, ...]:
    """All policies, oldest first: of two for the same Service the first counts. No route has a part in them."""
    return _policies(sources.without_routes())


@memoised
def _policies(sources: Sources) -> tuple[Policy, ...]:
    taken: Taken = {}
    found = sorted(sources.all(XBackendTrafficPolicy).values(), key=lambda each: each.precedence)
    return tuple(_state(each, taken, sources) for each in found)


def rules(sources: Sources) -> Table[ObjectKey, Config[DestinationRule]]:
    """What the policies stand for: one rule for each Service, by namespace and name."""
    return _rules(policies(sources))


@memoised
def _rules(known: tuple[Policy, ...]) -> Table[ObjectKey, Config[DestinationRule]]:
    return keeping.table(
        _rule(policy.resource, target, spec.retry_constraint)
        for policy in known
        if policy.refused is None and (spec := _spec(policy.resource)) is not None and spec.retry_constraint is not None
        for target in policy.targets
        if target.refused is None
    )


def _spec(resource: Resource[XBackendTrafficPolicy]) -> XBackendTrafficPolicy | None:
    return spec_of(resource)


def _rule(resource: Resource[XBackendTrafficPolicy], target: Target, asked: RetryConstraint) -> Config[DestinationRule]:
    """As Istio has it: the least rate of retries is how many may be under way at a time, whatever its interval."""
    budget = RetryBudget(
        percent=asked.budget.percent,
        min_retry_concurrency=asked.min_retry_rate.count,
        budget_interval=asked.budget.interval,
    )
    spec = BackendRule(host=target.host, traffic_policy=TrafficPolicy(retry_budget=budget))
    name = f"{target.ref.name}~traffic~{SUFFIX}"
    return Config(resource.origin, resource.namespace, name, {}, resource.created, spec)


def _state(resource: Resource[XBackendTrafficPolicy], taken: Taken, sources: Sources) -> Policy:
    spec = spec_of(resource)
    refs = spec.target_refs if spec is not None else targets.readable(resource)
    found = tuple(targets.of(ref, resource, taken, sources) for ref in refs)
    return Policy(resource, found, next(iter(_wrong(resource, spec)), None))


def _wrong(resource: Resource[XBackendTrafficPolicy], spec: XBackendTrafficPolicy | None) -> Iterable[Verdict]:
    """Why a policy cannot be carried out."""
    if spec is None:
        yield Verdict("Invalid", resource.decoded.problem)
        return
    if spec.session_persistence is not None:
        yield Verdict("Invalid", "sessionPersistence: the lab has it in rules of HTTPRoutes and GRPCRoutes only")
    try:
        nanoseconds(spec.retry_constraint.budget.interval if spec.retry_constraint is not None else "10s")
    except ValueError as error:
        yield Verdict("Invalid", f"retryConstraint.budget.interval: {error}")
