"""What is said of VirtualServices that delegate to others."""

from __future__ import annotations

from collections.abc import Iterator

from mesh_lab.controlplane.model import VirtualService
from mesh_lab.controlplane.world.findings import Finding
from mesh_lab.controlplane.world.snapshot import Snapshot
from mesh_lab.controlplane.xds.delegation import delegates, delegates_of


def delegates_are_there(snapshot: Snapshot) -> Iterator[Finding]:
    """IST0101: a rule whose delegate is missing, has hosts of its own, or is not for the namespace."""
    routes, default = snapshot.of(VirtualService), snapshot.mesh.default_virtual_service_export_to
    for config in routes.values():
        if not (config.spec.hosts and delegates(config)):
            continue
        numbers = [index for index, rule in enumerate(config.spec.http) if rule.delegate is not None]
        for number, reference in zip(numbers, delegates_of(routes, config, default), strict=True):
            if reference.visible:
                continue
            name, path = "/".join(reference.key), f"spec.http[{number}].delegate"
            text = f'Referenced delegate virtual service not found: "{name}"'
            if reference.config is not None:
                text += f" (its exportTo does not name {config.namespace})"
            elif reference.key in routes:
                text += " (it has hosts, and so is no delegate)"
            yield Finding("error", "IST0101", text, path, config.origin)
