"""The mesh's settings: the key `mesh` of the ConfigMap `istio`, in Istio's own words.

https://istio.io/latest/docs/reference/config/istio.mesh.v1alpha1/ has many more than the lab uses. Each setting is read
by itself: one that is wrong leaves the others in use, and a setting without effect, or of a name that Istio does not
know, is reported.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
import yaml

from mesh_lab.controlplane.model.base import FreeText
from mesh_lab.controlplane.model.sidecar import OutboundTrafficPolicy
from mesh_lab.controlplane.model.units import DURATION_PATTERN
from mesh_lab.controlplane.model.virtualservice import HTTPRetry
from mesh_lab.controlplane.validation.bounds import bounds
from mesh_lab.controlplane.validation.commands import commands
from mesh_lab.controlplane.validation.common import Problem, duration
from mesh_lab.controlplane.world.configmaps import WITHOUT_EFFECT, Remark, beside, near

CONFIG_MAP = "istio"
KEY = "data.mesh"

Normalization = Literal["DEFAULT", "NONE", "BASE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES"]


class PathNormalization(msgspec.Struct, frozen=True, eq=False, rename="camel", forbid_unknown_fields=True):
    """What is done to a path before a rule looks at it."""

    normalization: Normalization = "DEFAULT"


class MeshConfig(msgspec.Struct, frozen=True, eq=False, rename="camel"):
    """Defaults are those of Istio's demo profile: the access log is on and goes to the sidecar's stdout."""

    access_log_file: str = "/dev/stdout"
    access_log_format: FreeText = ""
    access_log_encoding: Literal["TEXT", "JSON"] = "TEXT"
    enable_auto_mtls: bool = msgspec.field(default=True, name="enableAutoMtls")
    outbound_traffic_policy: OutboundTrafficPolicy = OutboundTrafficPolicy(mode="ALLOW_ANY")
    h2_upgrade_policy: Literal["DO_NOT_UPGRADE", "UPGRADE"] = "UPGRADE"
    connect_timeout: Annotated[str, msgspec.Meta(pattern=DURATION_PATTERN)] = "10s"
    protocol_detection_timeout: Annotated[str, msgspec.Meta(pattern=DURATION_PATTERN)] = "0s"
    root_namespace: str = "istio-system"
    trust_domain: str = "cluster.local"
    trust_domain_aliases: tuple[str, ...] = ()
    cluster_domain: str = "cluster.local"
    path_normalization: PathNormalization = PathNormalization()
    default_http_retry_policy: HTTPRetry | None = None

    @property
    def trust_domains(self) -> tuple[str, ...]:
        """The trust domain, and its aliases: an identity in any of them is the mesh's."""
        return tuple(dict.fromkeys(filter(None, (self.trust_domain, *self.trust_domain_aliases))))


class Parsed(NamedTuple):
    """The settings that could be read, and remarks on the others."""

    config: MeshConfig
    remarks: tuple[Remark, ...]


_FIELDS = {field.encode_name: field for field in msgspec.structs.fields(MeshConfig)}

_OTHER_KEYS = frozenset(["meshNetworks"])
"""Istio's other keys of the ConfigMap."""

# Istio's other settings. Only their names: their values are not read.
_OTHERS = frozenset(
    [
        "accessLogging",
        "ca",
        "caCertificates",
        "certificates",
        "configSources",
        "defaultConfig",
        "defaultDestinationRuleExportTo",
        "defaultProviders",
        "defaultServiceExportTo",
        "defaultTrafficPolicy",
        "defaultVirtualServiceExportTo",
        "disableEnvoyListenerLog",
        "discoverySelectors",
        "dnsRefreshRate",
        "enableEnvoyAccessLogService",
        "enablePrometheusMerge",
        "enableTracing",
        "extensionProviders",
        "hboneIdleTimeout",
        "inboundClusterStatName",
        "inboundTrafficPolicy",
        "ingressClass",
        "ingressControllerMode",
        "ingressSelector",
        "ingressService",
        "localityLbSetting",
        "meshMTLS",
        "mixerCheckServer",
        "mixerReportServer",
        "outboundClusterStatName",
        "proxyHttpPort",
        "proxyInboundListenPort",
        "proxyListenPort",
        "serviceEntryVisibility",
        "serviceScopeConfigs",
        "serviceSettings",
        "tcpKeepalive",
        "tlsDefaults",
        "verifyCertificateAtClient",
        "zoneAwareLbSetting",
    ]
)
# Values that equal what the lab does anyway.
_AS_IT_IS: Mapping[str, tuple[Any, ...]] = {
    "enablePrometheusMerge": (True,),
    "enableTracing": (False,),
    "verifyCertificateAtClient": (True,),
    "proxyListenPort": (15001,),
    "proxyInboundListenPort": (15006,),
    "disableEnvoyListenerLog": (True,),
    "localityLbSetting": ({"enabled": False},),
    "defaultConfig": ({},),
    "extensionProviders": ([],),
}
_WHERE: Mapping[str, str] = {
    "defaultConfig": "the ConfigMap istio-sidecar-injector, key values, or the annotation proxy.istio.io/config of a "
    "pod have what the lab knows of it",
}
"""What has that effect instead, where there is something."""

# The value of a setting that cannot be read while no good one is known, where the default would allow more.
_CLOSED: Mapping[str, Any] = {"outbound_traffic_policy": OutboundTrafficPolicy(mode="REGISTRY_ONLY")}


def read(keys: dict[str, dict[str, Any]], before: MeshConfig | None = None) -> Parsed:
    """The settings in the ConfigMap's keys, and remarks on those of its keys too that are not read."""
    config, remarks = parse(keys["data"].get("mesh", ""), before)
    return Parsed(config, (*remarks, *beside(keys, "mesh", _OTHER_KEYS)))


def parse(text: str, before: MeshConfig | None = None) -> Parsed:
    """The settings in the YAML of the key `mesh`. One that cannot be read stays as it was in `before`."""
    try:
        document = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        return Parsed(
            before or _closed(), (Remark("error", KEY, f"not YAML, so all settings stay as they were: {error}"),)
        )
    if not isinstance(document, dict):
        return Parsed(before or _closed(), (Remark("error", KEY, "not a mapping of settings"),))
    good: dict[str, Any] = {}
    remarks: list[Remark] = []
    for name, value in document.items():
        field = _FIELDS.get(name)
        if field is None:
            remarks += _without_effect(str(name), value)
            continue
        try:
            good[field.name] = msgspec.convert(value, field.type)
        except msgspec.ValidationError as error:
            what, _, where = str(error).partition(" - at `$")
            remarks.append(Remark("error", f"{KEY}.{name}{where.removesuffix('`')}", f"{what}; it stays as it was"))
            good[field.name] = getattr(before or _closed(), field.name)
    config = MeshConfig(**good)
    for problem in _out_of_range(config):
        remarks.append(Remark("error", problem.path, f"{problem.message}; it stays as it was"))
        field = _FIELDS[problem.path.removeprefix(f"{KEY}.").partition(".")[0]]
        config = msgspec.structs.replace(config, **{field.name: getattr(before or _closed(), field.name)})
    if config.access_log_encoding == "JSON" and config.access_log_format and not _is_json(config.access_log_format):
        remarks.append(Remark("error", f"{KEY}.accessLogFormat", "not a JSON object, which the encoding JSON wants"))
        config = msgspec.structs.replace(config, access_log_format="")
    return Parsed(config, tuple(remarks))


def _closed() -> MeshConfig:
    return MeshConfig(**_CLOSED)


def _without_effect(name: str, value: Any) -> list[Remark]:
    path = f"{KEY}.{name}"
    if name in _OTHERS:
        if value in _AS_IT_IS.get(name, ()):
            return []
        instead = f"; {_WHERE[name]}" if name in _WHERE else ""
        return [Remark("warning", path, f"this setting {WITHOUT_EFFECT}{instead}")]
    return [Remark("error", path, f"Istio knows no such setting{near(name, [*_FIELDS, *_OTHERS])}")]


def _out_of_range(config: MeshConfig) -> Iterator[Problem]:
    """Problems that Envoy would reject in every proxy's configuration."""
    yield from bounds(config, KEY)
    yield from duration(f"{KEY}.connectTimeout", config.connect_timeout)
    yield from duration(f"{KEY}.protocolDetectionTimeout", config.protocol_detection_timeout, zero=True)
    if config.access_log_encoding == "TEXT":
        yield from commands(f"{KEY}.accessLogFormat", config.access_log_format)


def _is_json(text: str) -> bool:
    try:
        msgspec.json.decode(text, type=dict[str, object])
    except (msgspec.ValidationError, msgspec.DecodeError):
        return False
    return True
