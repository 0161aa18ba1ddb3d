"""What is to be said of Consul's objects: their own faults, what does not fit beside others, and which words count."""

from __future__ import annotations

from collections.abc import Iterator

from mesh_lab.controlplane.dialects.consul.access import confusions
from mesh_lab.controlplane.dialects.consul.checks import problems
from mesh_lab.controlplane.dialects.consul.kinds import ServiceResolver, ServiceRouter, ServiceSplitter
from mesh_lab.controlplane.dialects.consul.objects import Sources
from mesh_lab.controlplane.dialects.consul.reading import misfits, read
from mesh_lab.controlplane.model import DestinationRule, PeerAuthentication, VirtualService
from mesh_lab.controlplane.model.base import Spec
from mesh_lab.controlplane.model.choosing import ChosenSubset
from mesh_lab.controlplane.model.destinationrule import Subset
from mesh_lab.controlplane.world.findings import Finding
from mesh_lab.controlplane.world.gatewayapi import Resource
from mesh_lab.controlplane.world.kubernetes import Pod
from mesh_lab.controlplane.world.snapshot import Config, Snapshot
from mesh_lab.controlplane.xds import hosts
from mesh_lab.controlplane.xds.mtls import selects
from mesh_lab.controlplane.xds.together import routes_of
from mesh_lab.meshkinds import CONSUL

_WRONG, _DOUBTFUL, _MISSING, _TWICE = "IST0106", "IST0133", "IST0101", "IST0109"
_KINDS = frozenset(kind.name for kind in CONSUL)
_OF_SERVICES = (ServiceResolver, ServiceSplitter, ServiceRouter)


def findings(snapshot: Snapshot) -> Iterator[Finding]:
    """All that is to be said, by object."""
    if not any(snapshot.dialects.values()):
        return
    sources = Sources.of(snapshot)
    for table in snapshot.dialects.values():
        for resource in table.values():
            yield from _own(resource)
    for misfit in misfits(sources):
        yield Finding("error", _WRONG, misfit.message, "spec", misfit.origin)
    yield from _without_service(sources)
    yield from _confused(sources)
    yield from _secured_twice(snapshot)
    yield from _routed_twice(snapshot)
    yield from _ruled_twice(snapshot)


def _own(resource: Resource[Spec]) -> Iterator[Finding]:
    spec = resource.decoded.spec
    if spec is None:
        text = f"Schema validation error: {resource.decoded.problem}"
        yield Finding("error", _WRONG, text, "spec", resource.origin)
        return
    for severity, path, message in problems(resource.name, spec):
        text, code = ("error", _WRONG) if severity == "error" else ("warning", _DOUBTFUL)
        yield Finding(severity, code, f"Schema validation {text}: {path}: {message}", path, resource.origin)


def _without_service(sources: Sources) -> Iterator[Finding]:
    """Of a service that is not there a config entry may be written first, as with Consul."""
    for kind in _OF_SERVICES:
        for (namespace, name), resource in sources.all(kind).items():
            if (namespace, name) not in sources.services:
                text = f'Referenced host not found: there is no Service "{name}" in namespace {namespace}'
                yield Finding("warning", _MISSING, text, "metadata.name", resource.origin)


def _confused(sources: Sources) -> Iterator[Finding]:
    for origin, path, message in confusions(sources):
        yield Finding("warning", _DOUBTFUL, f"Schema validation warning: {path}: {message}", path, origin)


def _secured_twice(snapshot: Snapshot) -> Iterator[Finding]:
    """Workloads whose mutual TLS a PeerAuthentication is for as well: the older of those with a selector counts."""
    for config in read(snapshot).peers.values():
        own = config.spec.selector.match_labels if config.spec.selector is not None else {}
        for other in snapshot.of(PeerAuthentication).values():
            labels = other.spec.selector.match_labels if other.spec.selector is not None else {}
            if other.namespace != config.namespace or not labels or not selects(labels, own):
                continue
            first, second = sorted((config, other), key=lambda each: each.precedence)
            told = f"{_shown(first)} is older, and so it decides on mutual TLS of {own}, and not {_shown(second)}"
            yield from (Finding("warning", _DOUBTFUL, told, "", each.origin) for each in (config, other))


def _routed_twice(snapshot: Snapshot) -> Iterator[Finding]:
    """Hosts that rules of another vocabulary are for as well: those of the older object count."""
    made = read(snapshot).routes
    known = sorted(routes_of(snapshot).values(), key=lambda config: config.precedence)
    for config in made.values():
        (host,) = config.spec.hosts
        for other in (each for each in known if not _is_consuls(each) and _routes(each, host, snapshot)):
            first, second = sorted((config, other), key=lambda each: each.precedence)
            told = f"{_shown(second)} routes {host} as well, and has no effect on it: {_shown(first)} is older"
            yield from (Finding("warning", _TWICE, told, "", origin) for origin in (config.origin, other.origin))


def _routes(config: Config[VirtualService], host: str, snapshot: Snapshot) -> bool:
    spec, domain = config.spec, snapshot.mesh.cluster_domain
    named = (hosts.resolve(written, config.namespace, domain) for written in spec.hosts)
    return hosts.MESH in (spec.gateways or [hosts.MESH]) and host in named


def _ruled_twice(snapshot: Snapshot) -> Iterator[Finding]:
    """Hosts that DestinationRules are for as well: subsets add up, and what both say is as the older has it."""
    made, domain = read(snapshot).rules, snapshot.mesh.cluster_domain
    written: dict[str, list[Config[DestinationRule]]] = {}
    for rule in snapshot.of(DestinationRule).values():
        written.setdefault(hosts.resolve(rule.spec.host, rule.namespace, domain), []).append(rule)
    for config in made.values():
        for other in written.get(config.spec.host, ()):
            first, second = sorted((config, other), key=lambda each: each.precedence)
            clash = _clash(config, other.spec, snapshot)
            if clash:
                told = f"{_shown(first)} is older, and so it decides on {clash} of {config.spec.host}, and not "
                told += _shown(second)
                yield from (Finding("warning", _DOUBTFUL, told, "", each.origin) for each in (config, other))


def _clash(made: Config[DestinationRule], other: DestinationRule, snapshot: Snapshot) -> str:
    """What both say, and not alike. Subsets of one name are alike where they have the same pods."""
    service = snapshot.services.get((made.namespace, made.origin.name))
    pods = [
        pod
        for pod in snapshot.pods.values()
        if service is not None and pod.namespace == made.namespace and selects(service.selector, pod.labels)
    ]
    written = {each.name: each for each in other.subsets}
    parts = [
        f"subset {each.name}"
        for each in made.spec.subsets
        if each.name in written and any(_includes(each, pod) != _includes(written[each.name], pod) for pod in pods)
    ]
    both = made.spec.traffic_policy is not None and other.traffic_policy is not None
    return " and ".join([*parts, *["the traffic policy"] * both])


def _includes(subset: Subset, pod: Pod) -> bool:
    instances = subset.instances if isinstance(subset, ChosenSubset) else None
    return selects(subset.labels, pod.labels) and (instances is None or instances.include(pod.labels, pod.annotations))


def _is_consuls(config: Config[VirtualService]) -> bool:
    return config.origin.kind in _KINDS


def _shown(config: Config[Spec]) -> str:
    origin = config.origin
    return f"{origin.kind} {origin.namespace}/{origin.name}"
