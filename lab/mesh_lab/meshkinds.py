"""The mesh's kinds of resource: the plain facts of each, for the programs of the lab and for its command line.

`ISTIO` are those that the lab serves. A model and rules are added to each in `controlplane.istiokinds`; definitions,
`mesh-lab wait`, the evidence of a failed test and the client of Istio's own control plane follow from these lines.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

NETWORKING, SECURITY = "networking.istio.io", "security.istio.io"
TELEMETRY, EXTENSIONS = "telemetry.istio.io", "extensions.istio.io"
_GATEWAY_API = "gateway.networking.k8s.io"
_CONSUL = "consul.hashicorp.com"
INJECTOR_CONFIG_MAP = "istio-sidecar-injector"
"""Its settings are for the proxies of pods that are created later."""


class MeshKind(NamedTuple):
    """One kind: its names, and its versions, of which the first is stored.

    `acted_on`: by the lab's own control plane. `in_listeners`: it is a part of Envoy's listeners, which serve their
    connections by the old version of it until these are drained. `namespace` is where it is looked for when none is
    named; `only`, the names that the mesh reads of its kind.
    https://istio.io/latest/docs/reference/config/, https://gateway-api.sigs.k8s.io/,
    https://developer.hashicorp.com/consul/docs/connect/config-entries
    """

    name: str
    group: str
    plural: str
    short: tuple[str, ...] = ()
    versions: tuple[str, ...] = ("v1",)
    acted_on: bool = False
    in_listeners: bool = False
    namespace: str = "default"
    only: tuple[str, ...] = ()

    @property
    def api_version(self) -> str:
        """As an object states it: the group and the stored version."""
        return f"{self.group}/{self.versions[0]}" if self.group else self.versions[0]

    @property
    def words(self) -> tuple[str, ...]:
        """The names of the kind on a command line, in lower case, as with kubectl; the last two are unique to it."""
        kind, group = self.name.lower(), self.group
        qualified = (f"{kind}.{group}", f"{self.plural}.{group}") if group else ()
        return (kind, self.plural, *self.short, *qualified)


_V1, _V1ALPHA1, _V1ALPHA3 = ("v1", "v1beta1"), ("v1", "v1alpha1"), ("v1", "v1beta1", "v1alpha3")
ISTIO = (
    MeshKind("VirtualService", NETWORKING, "virtualservices", ("vs",), _V1ALPHA3, acted_on=True),
    MeshKind("DestinationRule", NETWORKING, "destinationrules", ("dr",), _V1ALPHA3, acted_on=True),
    MeshKind("Gateway", NETWORKING, "gateways", ("gw",), _V1ALPHA3, acted_on=True),
    MeshKind("Sidecar", NETWORKING, "sidecars", (), _V1ALPHA3, acted_on=True),
    MeshKind("PeerAuthentication", SECURITY, "peerauthentications", ("pa",), _V1, acted_on=True, in_listeners=True),
    MeshKind("AuthorizationPolicy", SECURITY, "authorizationpolicies", ("ap",), _V1, acted_on=True, in_listeners=True),
    MeshKind("ProxyConfig", NETWORKING, "proxyconfigs", (), ("v1beta1",), acted_on=True),
    MeshKind(
        "RequestAuthentication", SECURITY, "requestauthentications", ("ra",), _V1, acted_on=True, in_listeners=True
    ),
    MeshKind(
        "Telemetry", TELEMETRY, "telemetries", ("telemetry",), ("v1", "v1alpha1"), acted_on=True, in_listeners=True
    ),
    MeshKind("WasmPlugin", EXTENSIONS, "wasmplugins", (), ("v1alpha1",)),
    MeshKind(
        "TrafficExtension",
        EXTENSIONS,
        "trafficextensions",
        (),
        ("v1alpha1",),
        acted_on=True,
        in_listeners=True,
    ),
    MeshKind("ServiceEntry", NETWORKING, "serviceentries", ("se",), _V1ALPHA3, acted_on=True),
    MeshKind("WorkloadEntry", NETWORKING, "workloadentries", ("we",), _V1ALPHA3, acted_on=True),
    MeshKind("WorkloadGroup", NETWORKING, "workloadgroups", ("wg",), _V1ALPHA3, acted_on=True),
    MeshKind("EnvoyFilter", NETWORKING, "envoyfilters", (), ("v1alpha3",), acted_on=True, in_listeners=True),
)
"""The kinds that the lab serves: it has their definitions, checks their objects, and acts on most of them."""

GATEWAY_API = (
    MeshKind("HTTPRoute", _GATEWAY_API, "httproutes", acted_on=True),
    MeshKind("GRPCRoute", _GATEWAY_API, "grpcroutes", acted_on=True),
    MeshKind("TLSRoute", _GATEWAY_API, "tlsroutes", (), ("v1", "v1alpha3", "v1alpha2"), acted_on=True),
    MeshKind("TCPRoute", _GATEWAY_API, "tcproutes", (), ("v1", "v1alpha2"), acted_on=True),
    MeshKind("UDPRoute", _GATEWAY_API, "udproutes", (), ("v1", "v1alpha2"), acted_on=True),
    MeshKind("BackendTLSPolicy", _GATEWAY_API, "backendtlspolicies", ("btlspolicy",), acted_on=True),
    MeshKind(
        "XBackendTrafficPolicy",
        "gateway.networking.x-k8s.io",
        "xbackendtrafficpolicies",
        ("xbtrafficpolicy",),
        ("v1alpha1",),
        acted_on=True,
    ),
    MeshKind("Gateway", _GATEWAY_API, "gateways", ("gtw",), acted_on=True),
    MeshKind("ListenerSet", _GATEWAY_API, "listenersets", ("lset",), acted_on=True),
    MeshKind("ReferenceGrant", _GATEWAY_API, "referencegrants", ("refgrant",), ("v1beta1", "v1"), acted_on=True),
)
"""The Gateway API's kinds, whose definitions the user installs."""

CONSUL = (
    MeshKind("ServiceDefaults", _CONSUL, "servicedefaults", ("service-defaults",), ("v1alpha1",), acted_on=True),
    MeshKind("ProxyDefaults", _CONSUL, "proxydefaults", ("proxy-defaults",), ("v1alpha1",), acted_on=True),
    MeshKind("ServiceResolver", _CONSUL, "serviceresolvers", ("service-resolver",), ("v1alpha1",), acted_on=True),
    MeshKind("ServiceSplitter", _CONSUL, "servicesplitters", ("service-splitter",), ("v1alpha1",), acted_on=True),
    MeshKind("ServiceRouter", _CONSUL, "servicerouters", ("service-router",), ("v1alpha1",), acted_on=True),
    MeshKind(
        "ServiceIntentions",
        _CONSUL,
        "serviceintentions",
        ("service-intentions",),
        ("v1alpha1",),
        acted_on=True,
        in_listeners=True,
    ),
)
"""Consul's kinds, as consul-k8s names them."""

DIALECTS = ("istio", "gateway", "consul")
"""The vocabularies that `[mesh] dialects` may name."""
DEFAULT_DIALECTS: tuple[Literal["istio", "gateway", "consul"], ...] = ("istio", "gateway")
"""Those that a mesh reads where nothing else is said."""

KINDS = (
    *ISTIO,
    *GATEWAY_API,
    *CONSUL,
    MeshKind(
        "ConfigMap",
        "",
        "configmaps",
        ("cm",),
        acted_on=True,
        namespace="istio-system",
        only=("istio", INJECTOR_CONFIG_MAP),
    ),
)
"""All that `mesh-lab wait` knows, on a cluster with the lab's control plane or with Istio's."""

_BY_WORD = {word: kind for kind in reversed(KINDS) for word in kind.words}
_BY_NAME = {(kind.group, kind.name): kind for kind in KINDS}


def named(word: str) -> MeshKind | None:
    """The kind of that name (`vs`, `virtualservices.networking.istio.io`); of two the first in the table."""
    return _BY_WORD.get(word.lower())


def of(api_version: str, kind: str) -> MeshKind | None:
    """The kind of an object, whatever the version of its group."""
    return _BY_NAME.get((api_version.rpartition("/")[0], kind))
