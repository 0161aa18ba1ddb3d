"""The mesh's kinds of resource, as a person may name them: what `mesh-lab wait` knows of each."""

from __future__ import annotations

from typing import NamedTuple

_NETWORKING, _SECURITY = "networking.istio.io", "security.istio.io"
_GATEWAY_API = "gateway.networking.k8s.io"
INJECTOR_CONFIG_MAP = "istio-sidecar-injector"
"""Its settings are for the proxies of pods that are created later."""


class MeshKind(NamedTuple):
    """One kind: its name, API version, plural and short names; `acted_on`: by the lab's own control plane.

    `namespace` is where it is looked for when none is named; `only`, the names that the mesh reads of its kind.
    https://istio.io/latest/docs/reference/config/, https://gateway-api.sigs.k8s.io/
    """

    name: str
    version: str
    plural: str
    short: tuple[str, ...] = ()
    acted_on: bool = False
    namespace: str = "default"
    only: tuple[str, ...] = ()

    @property
    def group(self) -> str:
        """The API group."""
        return self.version.rpartition("/")[0]

    @property
    def words(self) -> tuple[str, ...]:
        """The names of the kind on a command line, in lower case, as with kubectl; the last two are unique to it."""
        kind, group = self.name.lower(), self.group
        qualified = (f"{kind}.{group}", f"{self.plural}.{group}") if group else ()
        return (kind, self.plural, *self.short, *qualified)


KINDS = (
    MeshKind("VirtualService", f"{_NETWORKING}/v1", "virtualservices", ("vs",), acted_on=True),
    MeshKind("DestinationRule", f"{_NETWORKING}/v1", "destinationrules", ("dr",), acted_on=True),
    MeshKind("Gateway", f"{_NETWORKING}/v1", "gateways", ("gw",), acted_on=True),
    MeshKind("Sidecar", f"{_NETWORKING}/v1", "sidecars", acted_on=True),
    MeshKind("PeerAuthentication", f"{_SECURITY}/v1", "peerauthentications", ("pa",), acted_on=True),
    MeshKind("AuthorizationPolicy", f"{_SECURITY}/v1", "authorizationpolicies", ("ap",), acted_on=True),
    MeshKind("RequestAuthentication", f"{_SECURITY}/v1", "requestauthentications", ("ra",)),
    MeshKind("ServiceEntry", f"{_NETWORKING}/v1", "serviceentries", ("se",)),
    MeshKind("WorkloadEntry", f"{_NETWORKING}/v1", "workloadentries", ("we",)),
    MeshKind("WorkloadGroup", f"{_NETWORKING}/v1", "workloadgroups", ("wg",)),
    MeshKind("EnvoyFilter", f"{_NETWORKING}/v1alpha3", "envoyfilters"),
    MeshKind("ProxyConfig", f"{_NETWORKING}/v1beta1", "proxyconfigs"),
    MeshKind("Telemetry", "telemetry.istio.io/v1", "telemetries", ("telemetry",)),
    MeshKind("WasmPlugin", "extensions.istio.io/v1alpha1", "wasmplugins"),
    MeshKind("TrafficExtension", "extensions.istio.io/v1alpha1", "trafficextensions"),
    MeshKind("HTTPRoute", f"{_GATEWAY_API}/v1", "httproutes"),
    MeshKind("GRPCRoute", f"{_GATEWAY_API}/v1", "grpcroutes"),
    MeshKind("TLSRoute", f"{_GATEWAY_API}/v1", "tlsroutes"),
    MeshKind("TCPRoute", f"{_GATEWAY_API}/v1alpha2", "tcproutes"),
    MeshKind("UDPRoute", f"{_GATEWAY_API}/v1alpha2", "udproutes"),
    MeshKind("BackendTLSPolicy", f"{_GATEWAY_API}/v1", "backendtlspolicies", ("btlspolicy",)),
    MeshKind("Gateway", f"{_GATEWAY_API}/v1", "gateways"),
    MeshKind(
        "ConfigMap",
        "v1",
        "configmaps",
        ("cm",),
        acted_on=True,
        namespace="istio-system",
        only=("istio", INJECTOR_CONFIG_MAP),
    ),
)

_BY_WORD = {word: kind for kind in reversed(KINDS) for word in kind.words}
_BY_NAME = {(kind.group, kind.name): kind for kind in KINDS}


def named(word: str) -> MeshKind | None:
    """The kind of that name (`vs`, `virtualservices.networking.istio.io`); of two the first in the table."""
    return _BY_WORD.get(word.lower())


def of(api_version: str, kind: str) -> MeshKind | None:
    """The kind of an object, whatever the version of its group."""
    return _BY_NAME.get((api_version.rpartition("/")[0], kind))
