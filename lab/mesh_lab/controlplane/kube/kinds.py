"""The kinds that the control plane reads and writes, and where the API server keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from mesh_lab.controlplane.istiokinds import KINDS
from mesh_lab.meshkinds import CONSUL as _CONSUL
from mesh_lab.meshkinds import GATEWAY_API as _GATEWAY_API


class Kind(NamedTuple):
    """Where the API server keeps a kind."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def own_name(self) -> str:
        """As its objects have it: `KubernetesGateway` is a name of the control plane's."""
        return self.kind.removeprefix("Kubernetes")

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """Its path below the server's address; without a namespace that of all namespaces."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        within = f"/namespaces/{namespace}" if namespace and self.namespaced else ""
        return "/".join(part for part in (f"{root}{within}/{self.plural}", name, subresource) if part)


CONFIG_MAPS = Kind("", "v1", "configmaps", "ConfigMap")
EVENTS = Kind("", "v1", "events", "Event")
SECRETS = Kind("", "v1", "secrets", "Secret")
TOKEN_REVIEWS = Kind("authentication.k8s.io", "v1", "tokenreviews", "TokenReview", namespaced=False)
WEBHOOKS = Kind(
    "admissionregistration.k8s.io",
    "v1",
    "mutatingwebhookconfigurations",
    "MutatingWebhookConfiguration",
    namespaced=False,
)
VALIDATING_WEBHOOKS = Kind(
    "admissionregistration.k8s.io",
    "v1",
    "validatingwebhookconfigurations",
    "ValidatingWebhookConfiguration",
    namespaced=False,
)

DEFINITIONS = Kind(
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False
)
GATEWAY_CLASSES = Kind("gateway.networking.k8s.io", "v1", "gatewayclasses", "GatewayClass", namespaced=False)
GATEWAY_API: Mapping[str, Kind] = {
    GATEWAY_CLASSES.kind: GATEWAY_CLASSES,
    # The name `Gateway` is Istio's here.
    **{
        name: Kind(kind.group, kind.versions[0], kind.plural, name)
        for kind in _GATEWAY_API
        if kind.acted_on
        for name in ("KubernetesGateway" if kind.name == "Gateway" else kind.name,)
    },
}
"""The kinds that are followed once their definitions are there, in the version that these store."""

CONSUL: Mapping[str, Kind] = {kind.name: Kind(kind.group, kind.versions[0], kind.plural, kind.name) for kind in _CONSUL}
"""The same of Consul's."""

WANTED: Mapping[str, Mapping[str, Kind]] = {"istio": {}, "gateway": GATEWAY_API, "consul": CONSUL}
"""By dialect, what is followed once its definitions are there; Istio's kinds are followed from the start."""

_ALWAYS: Mapping[str, Kind] = {
    kind.kind: kind
    for kind in (
        Kind("", "v1", "services", "Service"),
        Kind("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice"),
        Kind("", "v1", "pods", "Pod"),
        Kind("", "v1", "namespaces", "Namespace", namespaced=False),
        Kind("apps", "v1", "deployments", "Deployment"),
        Kind("", "v1", "nodes", "Node", namespaced=False),
        Kind("networking.k8s.io", "v1", "ingresses", "Ingress"),
        Kind("networking.k8s.io", "v1", "ingressclasses", "IngressClass", namespaced=False),
        SECRETS,
        CONFIG_MAPS,
        WEBHOOKS,
        *(Kind(kind.group, kind.versions[0], kind.plural, kind.name) for kind in KINDS.values()),
    )
}

FOLLOWED: Mapping[str, Kind] = {**_ALWAYS, **GATEWAY_API, **CONSUL}
"""What translation reads."""

ALL = (*_ALWAYS.values(), VALIDATING_WEBHOOKS)
"""What the control plane follows from the start."""
