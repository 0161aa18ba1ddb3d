"""What the control plane reads of each kind of object that is not Istio's: a view of it, made from the JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mesh_lab.controlplane.world import certificates, configmapdata, gatewayapi, kubernetes, revisions
from mesh_lab.controlplane.world.kubernetes import Object

VIEWS: Mapping[str, Callable[[Object], Any]] = {
    "Service": kubernetes.service,
    "EndpointSlice": kubernetes.endpoint_slice,
    "Pod": kubernetes.pod,
    "Namespace": kubernetes.namespace,
    "Deployment": kubernetes.deployment,
    "Secret": certificates.tls_secret,
    "Node": kubernetes.node,
    "MutatingWebhookConfiguration": revisions.injector,
    "Ingress": kubernetes.ingress,
    "IngressClass": kubernetes.ingress_class,
    "ConfigMap": configmapdata.config_map,
    **gatewayapi.VIEWS,
}
"""Makes the view, by kind."""
