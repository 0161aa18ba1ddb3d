"""Rules of a ServiceResolver: those of consul-k8s' webhook and of Consul's servers."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mesh_lab.controlplane.dialects.consul.checks.common import elsewhere, without_effect
from mesh_lab.controlplane.dialects.consul.filters import FilterError, parse
from mesh_lab.controlplane.dialects.consul.kinds import ServiceResolver
from mesh_lab.controlplane.dialects.consul.kinds.resolver import (
    HashPolicy,
    LoadBalancer,
    ServiceResolverFailover,
    ServiceResolverRedirect,
    ServiceResolverSubset,
)
from mesh_lab.controlplane.model.units import nanoseconds
from mesh_lab.controlplane.validation.common import Problem, duration, error, warning

_SUBSET = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_POLICIES = ("", "random", "round_robin", "least_request", "ring_hash", "maglev")
_FIELDS = ("header", "cookie", "query_parameter")
_EMPTY_FAILOVER = (
    "one of service, serviceSubset, namespace, targets, samenessGroup, or datacenters is required for a failover"
)


def service_resolver(spec: ServiceResolver) -> Iterator[Problem]:
    """All problems of a ServiceResolver."""
    if spec.default_subset and spec.default_subset not in spec.subsets:
        yield error("spec.defaultSubset", f'"{spec.default_subset}" is not a valid subset')
    for name, subset in spec.subsets.items():
        yield from _subset(f"spec.subsets[{name}]", name, subset)
    if spec.failover and spec.redirect is not None:
        yield error("spec", "service resolver redirect and failover cannot both be set")
    if spec.redirect is not None:
        yield from _redirect("spec.redirect", spec.redirect)
    for name, failover in spec.failover.items():
        if name != "*" and name not in spec.subsets:
            yield error(f"spec.failover[{name}]", "not a valid subset")
        yield from _failover(f"spec.failover[{name}]", failover)
    if spec.load_balancer is not None:
        yield from _load_balancer("spec.loadBalancer", spec.load_balancer)
    yield from duration("spec.connectTimeout", spec.connect_timeout, zero=True)
    yield from duration("spec.requestTimeout", spec.request_timeout, zero=True)
    yield from without_effect("spec", spec, ("prioritize_by_locality",))


def _subset(path: str, name: str, subset: ServiceResolverSubset) -> Iterator[Problem]:
    if not _SUBSET.fullmatch(name):
        yield error(
            path,
            "subset name must begin or end with lower case alphanumeric characters, and contain lower case "
            "alphanumeric characters or '-' in between; 63 at most",
        )
    if subset.filter:
        try:
            parse(subset.filter)
        except FilterError as failure:
            yield error(f"{path}.filter", f"filter for subset is not a valid expression: {failure}")


def _redirect(path: str, redirect: ServiceResolverRedirect) -> Iterator[Problem]:
    if not any(getattr(redirect, name) for name in redirect.__struct_fields__):
        yield error(path, "service resolver redirect cannot be empty")
    if not redirect.service:
        for name, value in (("serviceSubset", redirect.service_subset), ("namespace", redirect.namespace)):
            if value:
                yield error(path, f"{name} defined without service")
    yield from elsewhere(path, redirect)


def _failover(path: str, failover: ServiceResolverFailover) -> Iterator[Problem]:
    alone = failover.service or failover.service_subset or failover.namespace
    if not (alone or failover.targets or failover.datacenters or failover.sameness_group):
        yield error(path, _EMPTY_FAILOVER)
    if failover.targets and alone:
        yield error(path, "targets cannot be set beside service, serviceSubset or namespace")
    yield from elsewhere(path, failover)
    for index, target in enumerate(failover.targets):
        if not any(getattr(target, name) for name in target.__struct_fields__):
            yield error(f"{path}.targets[{index}]", "a target must not be empty")
        yield from elsewhere(f"{path}.targets[{index}]", target)
    yield from without_effect(path, failover, ("policy",))


def _load_balancer(path: str, spec: LoadBalancer) -> Iterator[Problem]:
    if spec.policy not in _POLICIES:
        yield error(f"{path}.policy", f"must be one of {', '.join(filter(None, _POLICIES))}, not {spec.policy!r}")
    hashing = spec.policy in ("ring_hash", "maglev")
    if spec.ring_hash_config is not None and spec.policy != "ring_hash":
        yield error(f"{path}.ringHashConfig", "is for the policy ring_hash only")
    if spec.least_request_config is not None and spec.policy != "least_request":
        yield error(f"{path}.leastRequestConfig", "is for the policy least_request only")
    if spec.hash_policies and not hashing:
        yield error(f"{path}.hashPolicies", "are for the policies ring_hash and maglev only")
    if spec.ring_hash_config is not None and spec.ring_hash_config.maximum_ring_size:
        yield warning(f"{path}.ringHashConfig.maximumRingSize", "has no effect in this lab")
    if spec.least_request_config is not None and spec.least_request_config.choice_count not in (0, 2):
        yield warning(f"{path}.leastRequestConfig.choiceCount", "has no effect in this lab: it is 2")
    for index, each in enumerate(spec.hash_policies):
        yield from _hash_policy(f"{path}.hashPolicies[{index}]", each)
    if len(spec.hash_policies) > 1:
        yield error(f"{path}.hashPolicies", "this lab carries out one hash policy, and there are several")


def _hash_policy(path: str, spec: HashPolicy) -> Iterator[Problem]:
    if spec.source_ip and (spec.field_ or spec.field_value):
        yield error(path, "cannot set both field and sourceIP")
    if not spec.source_ip and spec.field_ not in _FIELDS:
        yield error(f"{path}.field", f"must be one of {', '.join(_FIELDS)}, not {spec.field_!r}")
    if spec.field_ and not spec.field_value:
        yield error(f"{path}.fieldValue", f"fieldValue cannot be empty if field is set to {spec.field_}")
    cookie = spec.cookie_config
    if cookie is None:
        return
    if spec.field_ != "cookie":
        yield error(f"{path}.cookieConfig", 'cookieConfig is for the field "cookie" only')
    yield from duration(f"{path}.cookieConfig.ttl", cookie.ttl, zero=True)
    if cookie.session and cookie.ttl and nanoseconds(cookie.ttl):
        yield error(f"{path}.cookieConfig", "cannot set both session and ttl")
