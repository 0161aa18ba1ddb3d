"""What of other ConfigMaps than the mesh's own the Gateway API's objects may name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mesh_lab.controlplane.world.kubernetes import Object, Origin, origin_of

DEFAULTS_FOR_CLASS = "gateway.istio.io/defaults-for-class"
OVERLAID = {"deployment": "Deployment", "service": "Service", "serviceAccount": "ServiceAccount"}
"""The keys of overlays on what is deployed for a Gateway, and the kinds that they are for; others are Istio's, too."""
_CERTIFICATES = "ca.crt"


@dataclass(frozen=True, eq=False)
class ConfigMapData:
    """Certificates of authorities (PEM), or overlays on what is deployed (YAML by key).

    `of_class` names the class whose Gateways all have them.
    """

    origin: Origin
    certificates: str = ""
    overlays: Mapping[str, str] | None = None
    of_class: str = ""


def config_map(obj: Object) -> ConfigMapData | None:
    """The view of a ConfigMap that holds either; None for any other."""
    data = obj.get("data") or {}
    certificates = str(data.get(_CERTIFICATES) or "")
    overlays = {key: str(data[key]) for key in OVERLAID if data.get(key)}
    if not (certificates or overlays):
        return None
    labels = obj["metadata"].get("labels") or {}
    return ConfigMapData(origin_of("ConfigMap", obj), certificates, overlays, labels.get(DEFAULTS_FOR_CLASS, ""))
