"""BackendTLSPolicy: how servers are verified to which gateways and sidecars begin TLS; and which policy counts.

A policy that cannot be carried out lets nothing through: its Service is called with TLS that trusts nobody.
https://gateway-api.sigs.k8s.io/reference/spec/#backendtlspolicy
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mesh_lab.controlplane.model.base import PortSelector
from mesh_lab.controlplane.model.destinationrule import DestinationRule, PortTrafficPolicy, TrafficPolicy
from mesh_lab.controlplane.model.gatewayapi import BackendTLSPolicy, ReferenceGrant
from mesh_lab.controlplane.model.gatewayapi.policies import BackendValidation
from mesh_lab.controlplane.model.internal import BackendRule, BackendTLS
from mesh_lab.controlplane.world.gatewayapi import Resource
from mesh_lab.controlplane.world.kubernetes import ObjectKey
from mesh_lab.controlplane.world.snapshot import Config, Table
from mesh_lab.controlplane.xds import keeping
from mesh_lab.controlplane.xds.gatewayapi import grants, targets
from mesh_lab.controlplane.xds.gatewayapi.listenertls import authority_of, authority_problem
from mesh_lab.controlplane.xds.gatewayapi.sources import Sources, Verdict, spec_of
from mesh_lab.controlplane.xds.gatewayapi.targets import SUFFIX, Policy, Taken, Target
from mesh_lab.controlplane.xds.memo import memoised

_SYSTEM = "System"
_NOBODY = BackendTLS(mode="SIMPLE", trusts_nobody=True)


@dataclass(frozen=True, eq=False)
class PolicyState(Policy):
    """One policy: the TLS that it asks for, and where.

    `unresolved` says which of its references leads nowhere. `authorities` are the certificates that servers are
    verified by, PEM; empty for the system's.
    """

    tls: BackendTLS = _NOBODY
    authorities: str = ""
    unresolved: Verdict | None = None


def policies(sources: Sources) -> tuple[PolicyState, ...]:
    """All policies, oldest first: of two for the same target the first counts. No route has a part in them."""
    return _policies(sources.without_routes())


@memoised
def _policies(sources: Sources) -> tuple[PolicyState, ...]:
    known = grants.index(sources.all(ReferenceGrant))
    taken: Taken = {}
    found = sorted(sources.all(BackendTLSPolicy).values(), key=lambda each: each.precedence)
    return tuple(_state(each, taken, sources, known) for each in found)


def rules(sources: Sources) -> Table[ObjectKey, Config[DestinationRule]]:
    """What the policies stand for: one rule for each Service, by namespace and name."""
    return _rules(policies(sources))


@memoised
def _rules(known: tuple[PolicyState, ...]) -> Table[ObjectKey, Config[DestinationRule]]:
    by_host: dict[tuple[str, str], list[tuple[PolicyState, Target]]] = {}
    for state in known:
        for target in state.targets:
            if target.refused is None:
                by_host.setdefault((state.resource.namespace, target.host), []).append((state, target))
    return keeping.table(_rule(*place, some) for place, some in by_host.items())


def _rule(namespace: str, host: str, some: list[tuple[PolicyState, Target]]) -> Config[DestinationRule]:
    wide = next((state.tls for state, target in some if not target.port), None)
    ports = [
        PortTrafficPolicy(port=PortSelector(number=target.port), tls=state.tls) for state, target in some if target.port
    ]
    first, *others = dict.fromkeys(state.resource for state, _ in some)
    policy = TrafficPolicy(tls=wide, port_level_settings=ports)
    name = f"{some[0][1].ref.name}~{SUFFIX}"
    origins = tuple(each.origin for each in others)
    spec = BackendRule(host=host, traffic_policy=policy)
    return Config(first.origin, namespace, name, {}, first.created, spec, merged_from=origins)


def _state(
    resource: Resource[BackendTLSPolicy],
    taken: Taken,
    sources: Sources,
    known: grants.Index,
) -> PolicyState:
    spec = spec_of(resource)
    refs = spec.target_refs if spec is not None else targets.readable(resource)
    found = tuple(targets.of(ref, resource, taken, sources) for ref in refs)
    if spec is None:
        return PolicyState(resource, found, refused=Verdict("Invalid", resource.decoded.problem))
    remark = f"options without effect: {', '.join(sorted(spec.options))}" if spec.options else ""
    validation = spec.validation
    if validation.well_known_ca_certificates not in ("", _SYSTEM):
        text = f"wellKnownCACertificates: {validation.well_known_ca_certificates!r}: the lab knows {_SYSTEM}"
        return PolicyState(resource, found, refused=Verdict("Invalid", text), remark=remark)
    good, problems = _authorities(validation, resource, sources, known)
    unresolved = problems[0] if problems else None
    if problems and not good:
        refused = Verdict("NoValidCACertificate", problems[0].message)
        return PolicyState(resource, found, refused=refused, unresolved=unresolved, remark=remark)
    authority = f"{resource.namespace}/{resource.name}" if good else ""
    names = [each.hostname or each.uri for each in validation.subject_alt_names] or [validation.hostname]
    tls = BackendTLS(mode="SIMPLE", sni=validation.hostname, subject_alt_names=names, authority=authority)
    return PolicyState(resource, found, None, remark, tls, "\n".join(good), unresolved)


def _authorities(
    validation: BackendValidation, resource: Resource[BackendTLSPolicy], sources: Sources, known: grants.Index
) -> tuple[list[str], list[Verdict]]:
    """The certificates of the authorities that a policy names, and what is wrong with the others."""
    good: list[str] = []
    problems: list[Verdict] = []
    for ref in validation.ca_certificate_refs:
        verdict = None
        if (ref.group, ref.kind) != ("", "ConfigMap"):
            text = f"caCertificateRefs: {ref.kind} {ref.name}: authorities are in ConfigMaps"
            verdict = Verdict("InvalidKind", text)
        else:
            by = grants.Referrer("BackendTLSPolicy", resource.namespace)
            verdict = authority_problem(ref, by, sources, known)
        if verdict is None:
            good.append(authority_of("ConfigMap", resource.namespace, ref.name, sources))
        else:
            problems.append(verdict)
    return good, problems


def authorities_of(sources: Sources, name: str) -> PolicyState | None:
    """The policy (`namespace/name`) whose authorities are asked for, where it has some."""
    found: Iterable[PolicyState] = policies(sources)
    return next((each for each in found if each.authorities and each.tls.authority == name), None)
