"""What Istio's analysers say about namespaces, pods, services, and resources that select workloads.

https://istio.io/latest/docs/reference/config/analysis/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby

from mesh_lab.controlplane.model import AuthorizationPolicy, PeerAuthentication, Sidecar, WorkloadEntry
from mesh_lab.controlplane.world.findings import Finding
from mesh_lab.controlplane.world.kubernetes import Pod, Service
from mesh_lab.controlplane.world.snapshot import Snapshot
from mesh_lab.controlplane.xds import entries
from mesh_lab.controlplane.xds.mtls import selects
from mesh_lab.controlplane.xds.services import Protocol, protocol_of

INJECTION_LABEL, INJECT_LABEL = "istio-injection", "sidecar.istio.io/inject"
_REVISION_LABEL = "istio.io/rev"
# Kubernetes' own namespaces hold nothing that belongs into a mesh.
_SYSTEM = frozenset({"kube-system", "kube-public", "kube-node-lease"})


def namespaces_are_injected(snapshot: Snapshot) -> Iterator[Finding]:
    """IST0102: a namespace labelled neither for injection nor against it."""
    for namespace in snapshot.namespaces.values():
        decided = INJECTION_LABEL in namespace.labels or _REVISION_LABEL in namespace.labels
        if not decided and not _is_apart(namespace.name, snapshot):
            label = f"kubectl label namespace {namespace.name} {INJECTION_LABEL}"
            text = (
                f"The namespace is not enabled for Istio injection. Run '{label}=enabled' to enable it, or "
                f"'{label}=disabled' to explicitly mark it as not needing injection."
            )
            yield Finding("info", "IST0102", text, "metadata.labels", namespace.origin)


def pods_have_their_proxy(snapshot: Snapshot) -> Iterator[Finding]:
    """IST0103: a pod made before its namespace was labelled, or while the injector was away."""
    for pod in snapshot.pods.values():
        namespace = snapshot.namespaces.get(pod.namespace)
        wanted = namespace is not None and namespace.labels.get(INJECTION_LABEL) == "enabled"
        declined = "false" in (pod.labels.get(INJECT_LABEL), pod.annotations.get(INJECT_LABEL))
        if wanted and not declined and not (pod.has_proxy or pod.meshed):
            text = (
                f"The pod {pod.name} is missing the Istio proxy. This can often be resolved by restarting or "
                "redeploying the workload."
            )
            yield Finding("warning", "IST0103", text, "spec.containers", pod.origin)


def protocols_of_port_names(snapshot: Snapshot) -> Iterator[Finding]:
    """IST0118: a port whose protocol is detected for each connection."""
    for service in snapshot.services.values():
        if _is_apart(service.namespace, snapshot):
            continue
        for number, port in enumerate(service.ports):
            named = port.name or port.app_protocol
            if port.transport == "TCP" and named and protocol_of(port) is Protocol.AUTO:
                text = (
                    f"Port name {port.name} (port: {port.port}, targetPort: {port.target}) doesn't follow the naming "
                    "convention of Istio port."
                )
                yield Finding("info", "IST0118", text, f"spec.ports[{number}].name", service.origin)


def services_agree_on_ports(snapshot: Snapshot) -> Iterator[Finding]:
    """IST0116 and IST0137: services of one workload that contradict each other; on the services, by the workload."""
    for workload, pod in _workloads(snapshot):
        services = [service for service in snapshot.services.values() if _selects(service, pod)]
        if len(services) > 1:
            yield from _transports_agree(workload, services)
            yield from _targets_agree(workload, services)


def selectors_match_workloads(snapshot: Snapshot) -> Iterator[Finding]:
    """IST0127: a policy that selects no workload. Istio's own analyzer leaves out those that are no pods."""
    root = snapshot.mesh.root_namespace
    known = [*snapshot.pods.values(), *map(entries.workload, snapshot.of(WorkloadEntry).values())]
    for table in (snapshot.of(AuthorizationPolicy), snapshot.of(PeerAuthentication)):
        for config in table.values():
            labels = config.spec.selector.match_labels if config.spec.selector else {}
            # A policy of the root namespace with a selector is for pods of every namespace.
            everywhere = config.namespace == root and table is snapshot.of(AuthorizationPolicy)
            pods = (pod for pod in known if everywhere or pod.namespace == config.namespace)
            if labels and not any(selects(labels, pod.labels) for pod in pods):
                text = f"No matching workloads for this resource with the following labels: {_words(labels)}"
                yield Finding("warning", "IST0127", text, "spec.selector.matchLabels", config.origin)


def namespaces_have_one_sidecar(snapshot: Snapshot) -> Iterator[Finding]:
    """IST0111 and IST0110: Sidecars of a namespace that are for the same pods."""
    ordered = sorted(snapshot.of(Sidecar).values(), key=lambda config: config.namespace)
    for namespace, group in groupby(ordered, key=lambda config: config.namespace):
        sidecars = sorted(group, key=lambda config: config.name)
        wide = [config for config in sidecars if not _selector(config.spec)]
        if len(wide) > 1:
            names = " ".join(config.name for config in wide)
            text = (
                f'The Sidecars [{names}] in namespace "{namespace}" have no workload selector, which can lead to '
                "undefined behavior."
            )
            for config in wide:
                yield Finding("error", "IST0111", text, "spec.workloadSelector", config.origin)
        for pod in sorted(
            (pod for pod in snapshot.pods.values() if pod.namespace == namespace), key=lambda pod: pod.name
        ):
            same = [c for c in sidecars if _selector(c.spec) and selects(_selector(c.spec), pod.labels)]
            if len(same) > 1:
                names = " ".join(config.name for config in same)
                text = (
                    f'The Sidecars [{names}] in namespace "{namespace}" select the same workload pod "{pod.name}", '
                    "which can lead to undefined behavior."
                )
                for config in same:
                    yield Finding("error", "IST0110", text, "spec.workloadSelector", config.origin)


def _is_apart(namespace: str, snapshot: Snapshot) -> bool:
    """Whether a namespace is Kubernetes' own, or the control plane's."""
    return namespace in _SYSTEM or namespace == snapshot.mesh.root_namespace


def _workloads(snapshot: Snapshot) -> Iterator[tuple[str, Pod]]:
    """One pod of each workload that is in the mesh."""
    seen: dict[tuple[str, str], Pod] = {}
    for pod in snapshot.pods.values():
        if pod.meshed:
            seen.setdefault((pod.namespace, pod.workload), pod)
    for (_, workload), pod in sorted(seen.items(), key=lambda item: item[0]):
        yield workload, pod


def _selects(service: Service, pod: Pod) -> bool:
    return bool(service.selector) and service.namespace == pod.namespace and selects(service.selector, pod.labels)


def _transports_agree(workload: str, services: list[Service]) -> Iterator[Finding]:
    by_port: dict[int, dict[str, list[str]]] = {}
    for service in services:
        for port in service.ports:
            by_port.setdefault(port.port, {}).setdefault(port.transport, []).append(_name(service))
    for number, transports in sorted(by_port.items()):
        if len(transports) > 1:
            names = sorted({name for group in transports.values() for name in group})
            text = (
                f"This deployment {workload} is associated with multiple services using port {number} but different "
                f"protocols: [{' '.join(names)}]"
            )
            yield from _on(services, names, "IST0116", text)


def _targets_agree(workload: str, services: list[Service]) -> Iterator[Finding]:
    by_target: dict[str, dict[int, str]] = {}
    for service in services:
        for port in service.ports:
            by_target.setdefault(str(port.target), {})[port.port] = _name(service)
    for target, ports in sorted(by_target.items()):
        if len(ports) > 1 and len(set(ports.values())) > 1:
            names = sorted(set(ports.values()))
            text = (
                f"This deployment {workload} is associated with multiple services [{' '.join(names)}] using targetPort "
                f'"{target}" but different ports: [{" ".join(str(port) for port in sorted(ports))}].'
            )
            yield from _on(services, names, "IST0137", text)


def _on(services: list[Service], names: list[str], code: str, text: str) -> Iterator[Finding]:
    for service in services:
        if _name(service) in names:
            yield Finding("warning", code, text, "spec.ports", service.origin)


def _name(service: Service) -> str:
    return f"{service.name}.{service.namespace}"


def _selector(spec: object) -> Mapping[str, str]:
    selector = getattr(spec, "workload_selector", None)
    return selector.labels if selector is not None else {}


def _words(labels: Mapping[str, str]) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
