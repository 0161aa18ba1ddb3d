"""What a Sidecar states and its pods cannot have."""

from __future__ import annotations

from collections.abc import Iterator

from mesh_lab.controlplane.model import PeerAuthentication, Sidecar
from mesh_lab.controlplane.world.findings import Finding
from mesh_lab.controlplane.world.snapshot import Snapshot
from mesh_lab.controlplane.xds.generator import policies_of
from mesh_lab.controlplane.xds.imports import egress_of
from mesh_lab.controlplane.xds.mtls import selects
from mesh_lab.controlplane.xds.scope import registry_of


def egress_ports_are_there(snapshot: Snapshot) -> Iterator[Finding]:
    """As in Istio, a listener shows those of its hosts that have its port: where none has, it does nothing."""
    services = registry_of(snapshot).known
    for config in snapshot.of(Sidecar).values():
        if config.namespace == snapshot.mesh.root_namespace:
            continue  # what `./` stands for differs from workload to workload
        for index, egress in enumerate(egress_of(config, config.namespace)):
            if not (egress.port or egress.generic):
                continue
            shown = [each for each in services if egress.shows_service(each.namespace, each.hostname)]
            if not any(egress.takes(port.number, len(service.ports)) for service in shown for port in service.ports):
                text = f"has no effect: none of the listener's hosts has {egress.needed}"
                yield Finding("warning", "IST0133", text, f"spec.egress[{index}].port", config.origin)


def tls_of_sidecars_is_ended(snapshot: Snapshot) -> Iterator[Finding]:
    """As in Istio, TLS of an application's own is ended only where the mesh's is disabled for the port."""
    for config in snapshot.of(Sidecar).values():
        listeners = [(index, each) for index, each in enumerate(config.spec.ingress) if each.tls is not None]
        if not listeners:
            continue
        selector = config.spec.workload_selector.labels if config.spec.workload_selector else {}
        policies = policies_of(snapshot.of(PeerAuthentication), config.namespace, snapshot.mesh.root_namespace)
        pods = [p for p in snapshot.pods.values() if p.namespace == config.namespace and selects(selector, p.labels)]
        for index, listener in listeners:
            number = listener.port.number
            modes = {mode for pod in pods if (mode := policies.mode(pod.labels, number)) != "DISABLE"}
            if modes:
                text = (
                    f"mutual TLS of port {number} is {'/'.join(sorted(modes))} and comes before it: DISABLE it there, "
                    "in portLevelMtls of a PeerAuthentication whose selector selects the workload"
                )
                yield Finding("warning", "IST0133", text, f"spec.ingress[{index}].tls", config.origin)
