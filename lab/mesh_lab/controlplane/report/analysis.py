"""What resources say about things that do not exist, or that contradict each other.

These are Istio's analysers, as far as they concern what this control plane does.
https://istio.io/latest/docs/reference/config/analysis/ lists the codes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from mesh_lab.controlplane.dialects.table import all_findings
from mesh_lab.controlplane.istiokinds import validate
from mesh_lab.controlplane.model import AuthorizationPolicy, DestinationRule, Gateway, VirtualService
from mesh_lab.controlplane.model.virtualservice import Destination
from mesh_lab.controlplane.report.access import authorizers_can_be_asked, keys_are_there
from mesh_lab.controlplane.report.delegates import delegates_are_there
from mesh_lab.controlplane.report.entries import entries_are_alone
from mesh_lab.controlplane.report.envoyfilters import Patching, operations_are_well_used, patches_find_something
from mesh_lab.controlplane.report.gatewayports import gateways_have_workloads, gateways_share_ports_in_peace
from mesh_lab.controlplane.report.gatewayroutes import (
    gateways_are_served,
    policies_are_accepted,
    references_are_there,
    routes_are_accepted,
)
from mesh_lab.controlplane.report.index import Index, finding, missing
from mesh_lab.controlplane.report.metadata import metadata_is_understood
from mesh_lab.controlplane.report.placement import (
    namespaces_are_injected,
    namespaces_have_one_sidecar,
    pods_have_their_proxy,
    protocols_of_port_names,
    selectors_match_workloads,
    services_agree_on_ports,
)
from mesh_lab.controlplane.report.reachability import unreachable_rules
from mesh_lab.controlplane.report.sidecars import egress_ports_are_there, tls_of_sidecars_is_ended
from mesh_lab.controlplane.report.telemetries import telemetries_are_clear
from mesh_lab.controlplane.validation.security import is_dry_run, is_unclear
from mesh_lab.controlplane.world.findings import Finding
from mesh_lab.controlplane.world.kubernetes import Origin, Service
from mesh_lab.controlplane.world.snapshot import DRY_RUN, Config, Snapshot
from mesh_lab.controlplane.xds import hosts
from mesh_lab.controlplane.xds.attachment import GatewayServer
from mesh_lab.controlplane.xds.hosts import gateway_name
from mesh_lab.controlplane.xds.mtls import selects
from mesh_lab.controlplane.xds.scope import MESH, RouteConfig

_Read = TypeVar("_Read")


def _fail(what: str, error: Exception) -> None:
    raise RuntimeError(what) from error


def analyse(
    snapshot: Snapshot, failed: Callable[[str, Exception], object] = _fail, patched: Patching | None = None
) -> tuple[Finding, ...]:
    """All findings, by object: what could not be used, what has no effect, and what refers to nothing.

    `patched` tells what becomes of the patches of EnvoyFilters; without it that is not looked at.

    A check that raises is reported to `failed`; the findings of the others stay.
    """
    found = [finding for findings in snapshot.invalid.values() for finding in findings]
    index = Index(snapshot)
    for check in _CHECKS:
        _contained(found, check, index, failed)
    for plain in _PLAIN_CHECKS:
        _contained(found, plain, snapshot, failed)
    if patched is not None:

        def patches(read: Snapshot) -> Iterator[Finding]:
            return patches_find_something(read, patched)

        _contained(found, patches, snapshot, failed)
    return tuple(sorted(found, key=lambda finding: finding.origin.key))


def _contained(
    found: list[Finding],
    check: Callable[[_Read], Iterator[Finding]],
    read: _Read,
    failed: Callable[[str, Exception], object],
) -> None:
    try:
        found += check(read)
    except Exception as error:  # noqa: BLE001 - one resource is not to keep all findings from being reported
        failed(f"analysing ({check.__name__})", error)


def _fields_are_well_used(index: Index) -> Iterator[Finding]:
    for table in index.snapshot.configs.values():
        for config in table.values():
            for severity, path, message in validate(config.spec):
                if severity != "error":
                    text = f"Schema validation warning: {path}: {message}"
                    yield finding(severity, "IST0133", text, path, config.origin)


def _destinations(config: RouteConfig) -> Iterator[tuple[str, Destination]]:
    """All destinations with the paths of their fields."""
    for index, http in enumerate(config.spec.http):
        path = f"spec.http[{index}]"
        for number, share in enumerate(http.route):
            yield f"{path}.route[{number}].destination", share.destination
        if http.mirror is not None:
            yield f"{path}.mirror", http.mirror
        for number, mirror in enumerate(http.mirrors):
            yield f"{path}.mirrors[{number}].destination", mirror.destination
    for index, tcp in enumerate(config.spec.tcp):
        for number, entry in enumerate(tcp.route):
            yield f"spec.tcp[{index}].route[{number}].destination", entry.destination
    for index, tls in enumerate(config.spec.tls):
        for number, entry in enumerate(tls.route):
            yield f"spec.tls[{index}].route[{number}].destination", entry.destination


def _routes_lead_somewhere(index: Index) -> Iterator[Finding]:
    for config in index.snapshot.of(VirtualService).values():
        for path, destination in _destinations(config):
            written = index.resolve(destination.host, config)
            named, host = index.find(written), index.called(written)
            service = index.find(host)
            if named is None:
                yield missing("host", destination.host, f"{path}.host", config.origin)
                continue
            if service is None:
                yield _leads_out(destination.host, host, f"{path}.host", config.origin)
                continue
            if destination.subset and not index.has_subset(host, destination.subset):
                name = f"{destination.host}+{destination.subset}"
                yield missing("host+subset in destinationrule", name, f"{path}.subset", config.origin)
            yield from _port_is_clear(path, destination, named, service, config.origin)


def _leads_out(written: str, host: str, path: str, origin: Origin) -> Finding:
    """A destination that is an ExternalName Service, and so another's name, of which the mesh has none."""
    what = f'"{host}", which is no service of the mesh' if host else "itself, by way of other such names"
    text = f'Referenced host not found: "{written}" is an ExternalName Service that stands for {what}'
    return finding("error", "IST0101", text, path, origin)


def _port_is_clear(
    path: str, destination: Destination, named: Service, service: Service, origin: Origin
) -> Iterator[Finding]:
    """An alias may have ports of its own; where it has just one, that is meant."""
    numbers = [port.port for port in service.ports]
    only = named.ports[0].port if len(named.ports) == 1 else 0
    number = (destination.port.number if destination.port is not None else 0) or only
    if number:
        if number not in numbers:
            yield missing("host:port", f"{destination.host}:{number}", f"{path}.port.number", origin)
    elif len(numbers) > 1 or named is not service:
        text = (
            f'This VirtualService routes to a service "{destination.host}" that exposes multiple ports {numbers}. '
            "Specifying a port in the destination is required to disambiguate."
        )
        yield finding("warning", "IST0112", text, path, origin)


def _routes_have_gateways(index: Index) -> Iterator[Finding]:
    gateways = index.snapshot.of(Gateway)
    for config in index.snapshot.of(VirtualService).values():
        for number, name in enumerate(config.spec.gateways):
            if name == MESH:
                continue
            namespace, _, plain = gateway_name(name, config.namespace).partition("/")
            gateway = gateways.get((namespace, plain))
            path = f"spec.gateways[{number}]"
            if gateway is None:
                yield missing("gateway", name, path, config.origin)
            elif not _share_a_host(index, gateway, config):
                text = (
                    f"one or more host {config.spec.hosts} defined in VirtualService {config.namespace}/{config.name} "
                    f"not found in Gateway {namespace}/{plain}."
                )
                yield finding("warning", "IST0132", text, "spec.hosts", config.origin)


def _share_a_host(index: Index, gateway: Config[Any], config: RouteConfig) -> bool:
    return any(
        namespace in ("*", config.namespace) and hosts.intersection(pattern, index.resolve(host, config)) is not None
        for server in gateway.spec.servers
        for namespace, pattern in GatewayServer(gateway, server, 0).hosts()
        for host in config.spec.hosts
    )


def _mesh_hosts_are_routed_once(index: Index) -> Iterator[Finding]:
    by_host: dict[str, list[RouteConfig]] = {}
    for config in index.snapshot.of(VirtualService).values():
        if MESH in (config.spec.gateways or [MESH]):
            for host in config.spec.hosts:
                by_host.setdefault(index.resolve(host, config), []).append(config)
    for host, configs in by_host.items():
        if len(configs) < 2:
            continue
        names = ", ".join(f"{config.namespace}/{config.name}" for config in configs)
        text = (
            f"The VirtualServices {names} associated with mesh gateway define the same host {host} which can lead to "
            "undefined behavior. This can be fixed by merging the conflicting VirtualServices into a single resource."
        )
        for config in configs:
            yield finding("error", "IST0109", text, "spec.hosts", config.origin)


def _policies_have_hosts(index: Index) -> Iterator[Finding]:
    for config in index.snapshot.of(DestinationRule).values():
        covered = index.services_of(index.resolve(config.spec.host, config))
        if not covered:
            yield missing("host", config.spec.host, "spec.host", config.origin)
            continue
        yield from _rules_an_alias(index, config)
        pods = [pod for service in covered for pod in index.pods_of(service)]
        for number, subset in enumerate(config.spec.subsets):
            if not any(selects(subset.labels, pod.labels) for pod in pods):
                text = (
                    f"The Subset {subset.name} defined in Destination Rule {config.namespace}/{config.name} "
                    "does not select any pods."
                )
                yield finding("warning", "IST0173", text, f"spec.subsets[{number}].labels", config.origin)


def _rules_an_alias(index: Index, config: Config[Any]) -> Iterator[Finding]:
    """An alias has no clusters, so that rules for it have no effect: as in Istio, which does not report it."""
    host = index.resolve(config.spec.host, config)
    if index.called(host) != host:
        text = (
            f"Schema validation warning: spec.host: {config.spec.host} is an ExternalName Service, and rules for it "
            f"have no effect: what holds are the rules for {index.called(host) or 'the service that it stands for'}"
        )
        yield finding("warning", "IST0133", text, "spec.host", config.origin)


def _policies_name_namespaces(index: Index) -> Iterator[Finding]:
    known = index.snapshot.namespaces
    for config in index.snapshot.of(AuthorizationPolicy).values():
        for number, rule in enumerate(config.spec.rules):
            for place, entry in enumerate(rule.from_ or ()):
                source = entry.source
                for name in (*source.namespaces, *source.not_namespaces) if source else ():
                    if "*" not in name and known and name not in known:
                        path = f"spec.rules[{number}].from[{place}].source.namespaces"
                        yield missing("namespace", name, path, config.origin)


def _dry_runs_are_clear(index: Index) -> Iterator[Finding]:
    for config in index.snapshot.of(AuthorizationPolicy).values():
        annotation = config.annotations.get(DRY_RUN)
        if is_unclear(annotation):
            text = f'the value "{annotation}" is neither true nor false: the policy is enforced'
            yield finding("warning", "IST0133", f"{_DRY_RUN_PATH}: {text}", _DRY_RUN_PATH, config.origin)
        elif is_dry_run(annotation) and config.spec.action not in ("ALLOW", "DENY"):
            text = f"a dry run of a policy with action {config.spec.action} does nothing"
            yield finding("warning", "IST0133", f"{_DRY_RUN_PATH}: {text}", _DRY_RUN_PATH, config.origin)


_DRY_RUN_PATH = f"metadata.annotations[{DRY_RUN}]"
_CHECKS: tuple[Callable[[Index], Iterator[Finding]], ...] = (
    _fields_are_well_used,
    _routes_lead_somewhere,
    _routes_have_gateways,
    _mesh_hosts_are_routed_once,
    _policies_have_hosts,
    gateways_have_workloads,
    gateways_share_ports_in_peace,
    _policies_name_namespaces,
    _dry_runs_are_clear,
)

_PLAIN_CHECKS: tuple[Callable[[Snapshot], Iterator[Finding]], ...] = (
    unreachable_rules,
    namespaces_are_injected,
    pods_have_their_proxy,
    protocols_of_port_names,
    services_agree_on_ports,
    selectors_match_workloads,
    namespaces_have_one_sidecar,
    operations_are_well_used,
    metadata_is_understood,
    keys_are_there,
    authorizers_can_be_asked,
    entries_are_alone,
    delegates_are_there,
    telemetries_are_clear,
    egress_ports_are_there,
    tls_of_sidecars_is_ended,
    gateways_are_served,
    references_are_there,
    routes_are_accepted,
    policies_are_accepted,
    all_findings,
)
"""The checks that need no index."""
