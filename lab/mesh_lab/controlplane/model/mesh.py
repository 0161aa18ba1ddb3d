"""The mesh configuration: settings that hold for all proxies.

https://istio.io/latest/docs/reference/config/istio.mesh.v1alpha1/
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from mesh_lab.controlplane.model.base import Duration, FreeText, Labels, Port, Spec
from mesh_lab.controlplane.model.destinationrule import (
    ConnectionPoolSettings,
    LocalityLoadBalancerSetting,
    OutlierDetection,
    TcpKeepalive,
)
from mesh_lab.controlplane.model.meshproxy import MeshProxyConfig
from mesh_lab.controlplane.model.providers import BUILT_IN, ExtensionProvider
from mesh_lab.controlplane.model.sidecar import OutboundTrafficPolicy
from mesh_lab.controlplane.model.units import DURATION_PATTERN
from mesh_lab.controlplane.model.virtualservice import HTTPRetry

Normalization = Literal["DEFAULT", "NONE", "BASE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES"]
_Duration = Annotated[str, msgspec.Meta(pattern=DURATION_PATTERN)]


class PathNormalization(Spec, frozen=True):
    """What is done to a path before a rule looks at it."""

    normalization: Normalization = "DEFAULT"


class InboundTrafficPolicy(Spec, frozen=True):
    """Which address of the pod a connection to it goes on to."""

    mode: Literal["PASSTHROUGH", "LOCALHOST"] = "PASSTHROUGH"


class DefaultProviders(Spec, frozen=True):
    """The providers that hold where no Telemetry names others."""

    tracing: list[str] = []
    metrics: list[str] = []
    access_logging: list[str] = []


class LabelExpression(Spec, frozen=True):
    """One condition on a label, as Kubernetes has it."""

    key: str
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: list[str] = []


class LabelSelector(Spec, frozen=True):
    """Objects by their labels, as Kubernetes selects them."""

    match_labels: Labels = {}
    match_expressions: list[LabelExpression] = []


class TLSConfig(Spec, frozen=True):
    """Which versions, curves and ciphers of TLS are taken."""

    min_protocol_version: Literal["TLS_AUTO", "TLSV1_2", "TLSV1_3"] = "TLS_AUTO"
    ecdh_curves: list[str] = []
    cipher_suites: list[str] = []


class CertificateData(Spec, frozen=True):
    """An authority that is trusted beside the mesh's own: one of the first two."""

    pem: FreeText | None = None
    spiffe_bundle_url: str | None = None
    cert_signers: list[str] = []
    trust_domains: list[str] = []


class ServiceScope(Spec, frozen=True):
    """How far services can be reached in a mesh of several clusters."""

    cluster_local: bool = False


class ServiceSettings(Spec, frozen=True):
    """Settings of some services."""

    settings: ServiceScope | None = None
    hosts: list[str] = []


class DefaultTrafficPolicy(Spec, frozen=True):
    """What holds of services without a DestinationRule that says otherwise."""

    connection_pool: ConnectionPoolSettings | None = None
    outlier_detection: OutlierDetection | None = None


class MeshConfig(msgspec.Struct, frozen=True, eq=False, rename="camel"):
    """Defaults are those of Istio's demo profile: the access log is on and goes to the sidecar's stdout."""

    access_log_file: str = "/dev/stdout"
    access_log_format: FreeText = ""
    access_log_encoding: Literal["TEXT", "JSON"] = "TEXT"
    enable_auto_mtls: bool = msgspec.field(default=True, name="enableAutoMtls")
    outbound_traffic_policy: OutboundTrafficPolicy = OutboundTrafficPolicy(mode="ALLOW_ANY")
    h2_upgrade_policy: Literal["DO_NOT_UPGRADE", "UPGRADE"] = "UPGRADE"
    connect_timeout: _Duration = "10s"
    protocol_detection_timeout: _Duration = "0s"
    root_namespace: str = "istio-system"
    trust_domain: str = "cluster.local"
    trust_domain_aliases: tuple[str, ...] = ()
    cluster_domain: str = "cluster.local"
    path_normalization: PathNormalization = PathNormalization()
    default_http_retry_policy: HTTPRetry | None = None
    default_inbound_http_retry_policy: HTTPRetry | None = None
    default_config: MeshProxyConfig = MeshProxyConfig()
    extension_providers: tuple[ExtensionProvider, ...] = BUILT_IN
    default_providers: DefaultProviders = DefaultProviders()
    enable_tracing: bool = True
    inbound_traffic_policy: InboundTrafficPolicy = InboundTrafficPolicy()
    locality_lb_setting: LocalityLoadBalancerSetting = LocalityLoadBalancerSetting(enabled=True)
    default_traffic_policy: DefaultTrafficPolicy | None = None
    tcp_keepalive: TcpKeepalive | None = None
    dns_refresh_rate: Duration = "60s"
    default_service_export_to: tuple[str, ...] = ("*",)
    default_virtual_service_export_to: tuple[str, ...] = ("*",)
    default_destination_rule_export_to: tuple[str, ...] = ("*",)
    discovery_selectors: tuple[LabelSelector, ...] = ()
    service_settings: tuple[ServiceSettings, ...] = ()
    mesh_mtls: TLSConfig | None = msgspec.field(default=None, name="meshMTLS")
    tls_defaults: TLSConfig | None = None
    ca_certificates: tuple[CertificateData, ...] = ()
    inbound_cluster_stat_name: str = ""
    outbound_cluster_stat_name: str = ""
    enable_prometheus_merge: bool = True
    proxy_listen_port: Port = 15001
    proxy_inbound_listen_port: Port = 15006
    ingress_class: str = "istio"
    ingress_service: str = "istio-ingressgateway"
    ingress_selector: str = ""
    ingress_controller_mode: Literal["UNSPECIFIED", "OFF", "DEFAULT", "STRICT"] = "STRICT"

    @property
    def dual_stack(self) -> bool:
        """Whether pods have both IP families: no setting, but what the cluster's nodes say."""
        return False

    @property
    def trust_domains(self) -> tuple[str, ...]:
        """The trust domain, and its aliases: an identity in any of them is the mesh's."""
        return tuple(dict.fromkeys(filter(None, (self.trust_domain, *self.trust_domain_aliases))))

    def provider(self, name: str) -> ExtensionProvider | None:
        """The extension provider of that name; None where there is none, or only one in error."""
        return next((each for each in self.extension_providers if each.name == name), None)


class DualStackMeshConfig(MeshConfig, frozen=True, eq=False, rename="camel"):
    """The settings of a mesh in a cluster of both IP families."""

    @classmethod
    def of(cls, mesh: MeshConfig) -> DualStackMeshConfig:
        """The same settings there."""
        return cls(**{name: getattr(mesh, name) for name in mesh.__struct_fields__})

    @property
    def dual_stack(self) -> bool:
        """It has."""
        return True
