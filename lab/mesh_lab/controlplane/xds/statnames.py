"""What clusters are called in Envoy's statistics: by their names, or by the mesh's patterns for them.

https://istio.io/latest/docs/reference/config/istio.mesh.v1alpha1/#MeshConfig (`outboundClusterStatName`)
"""

from __future__ import annotations

from mesh_lab.controlplane.xds.names import statistics
from mesh_lab.controlplane.xds.services import MeshPort, MeshService


def stat_name(pattern: str, name: str, service: MeshService, port: MeshPort, subset: str = "", target: int = 0) -> str:
    """The name for a port of a service, by a pattern; the cluster's own `name` without one."""
    if not pattern:
        return statistics(name)
    namespace, short = service.key
    known = service.origin.kind == "Service"
    values = {
        "%SERVICE%": f"{short}.{namespace}" if known else service.hostname,
        "%SERVICE_NAME%": short if known else service.hostname,
        "%SERVICE_FQDN%": service.hostname,
        "%SERVICE_PORT%": str(port.number),
        "%TARGET_PORT%": str(target),
        "%SERVICE_PORT_NAME%": port.name,
        "%SUBSET_NAME%": subset,
    }
    for variable, value in values.items():
        pattern = pattern.replace(variable, value)
    return statistics(pattern)
