"""The mesh's settings: the key `mesh` of the ConfigMap `istio`, in Istio's own words.

https://istio.io/latest/docs/reference/config/istio.mesh.v1alpha1/ has many more than the lab uses. Each setting is read
by itself: one that is wrong leaves the others in use, and a setting without effect, or of a name that Istio does not
know, is reported.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import msgspec
import yaml

from mesh_lab.controlplane.model.mesh import DualStackMeshConfig, MeshConfig, Normalization
from mesh_lab.controlplane.model.sidecar import OutboundTrafficPolicy
from mesh_lab.controlplane.validation.commands import log_commands
from mesh_lab.controlplane.validation.common import Problem
from mesh_lab.controlplane.validation.mesh import mesh_config
from mesh_lab.controlplane.world import meshproviders, proxyconfig
from mesh_lab.controlplane.world.configmaps import WITHOUT_EFFECT, Remark, beside, near
from mesh_lab.controlplane.world.fieldnames import renamed
from mesh_lab.controlplane.world.kubernetes import Node

__all__ = ["CONFIG_MAP", "KEY", "MeshConfig", "Normalization", "Parsed", "parse", "read"]

CONFIG_MAP = "istio"
KEY = "data.mesh"


class Parsed(NamedTuple):
    """The settings that could be read, and remarks on the others."""

    config: MeshConfig
    remarks: tuple[Remark, ...]


_FIELDS = {field.encode_name: field for field in msgspec.structs.fields(MeshConfig)}

_NAME = re.compile(r"[^.\[]+")

_OTHER_KEYS = frozenset(["meshNetworks"])
"""Istio's other keys of the ConfigMap."""

# Istio's other settings. Only their names: their values are not read.
_OTHERS = frozenset(
    [
        "ca",
        "certificates",
        "configSources",
        "disableEnvoyListenerLog",
        "enableEnvoyAccessLogService",
        "hboneIdleTimeout",
        "proxyHttpPort",
        "serviceEntryVisibility",
        "serviceScopeConfigs",
        "verifyCertificateAtClient",
        "zoneAwareLbSetting",
    ]
)
_NOT_TRANSLATED: Mapping[str, str] = {
    "caCertificates": "",
    "defaultInboundHttpRetryPolicy": "",
    "proxyInboundListenPort": "",
    "proxyListenPort": "",
}
"""Settings that are read and checked, and have no effect yet; and what has that effect instead.

A setting that is translated loses its line.
"""

_CARRIED_OUT: Mapping[str, frozenset[str]] = {"defaultConfig": frozenset(["tracing"])}
"""Parts of settings that have an effect where others have none; of `defaultConfig` beside what starts a proxy."""

# Values, as they are written, that equal what the lab does anyway.
_AS_IT_IS: Mapping[str, tuple[Any, ...]] = {
    "verifyCertificateAtClient": (True,),
    "proxyListenPort": (15001,),
    "proxyInboundListenPort": (15006,),
    "disableEnvoyListenerLog": (True,),
}

# The value of a setting that cannot be read while no good one is known, where the default would allow more.
_CLOSED: Mapping[str, Any] = {"outbound_traffic_policy": OutboundTrafficPolicy(mode="REGISTRY_ONLY")}


class Families:
    """Adds to the mesh's settings whether pods have both IP families, as the nodes say."""

    def __init__(self) -> None:
        self._known: tuple[MeshConfig, MeshConfig] | None = None

    def on(self, mesh: MeshConfig, nodes: Iterable[Node]) -> MeshConfig:
        """The settings on these nodes: the same object while neither changes."""
        if not any(node.dual for node in nodes):
            return mesh
        if self._known is None or self._known[0] is not mesh:
            self._known = mesh, DualStackMeshConfig.of(mesh)
        return self._known[1]


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
    remarks = list(_given_twice(text))
    for name, value in document.items():
        field = _FIELDS.get(name)
        remarks += _without_effect(str(name), value)
        if name == "defaultConfig":
            remarks += proxyconfig.without_effect(value, f"{KEY}.{name}", _CARRIED_OUT[name])
        if field is None:
            continue
        if field.name == meshproviders.FIELD:
            known = before.extension_providers if before is not None else ()
            good[field.name], found = meshproviders.read(value, known, f"{KEY}.{name}")
            remarks += found
            continue
        try:
            # Istio reads a number in quotes too, as its documentation has of ports.
            good[field.name] = msgspec.convert(renamed(value, field.type), field.type, strict=False)
        except msgspec.ValidationError as error:
            what, _, where = str(error).partition(" - at `$")
            remarks.append(Remark("error", f"{KEY}.{name}{where.removesuffix('`')}", f"{what}; it stays as it was"))
            good[field.name] = getattr(before or _closed(), field.name)
    config = MeshConfig(**good)
    for problem in _problems(config):
        if problem.severity != "error":
            remarks.append(Remark(problem.severity, problem.path, problem.message))
            continue
        remarks.append(Remark("error", problem.path, f"{problem.message}; it stays as it was"))
        field = _FIELDS[_NAME.findall(problem.path.removeprefix(f"{KEY}."))[0]]
        config = msgspec.structs.replace(config, **{field.name: getattr(before or _closed(), field.name)})
    if config.access_log_encoding == "JSON" and config.access_log_format and not _is_json(config.access_log_format):
        remarks.append(Remark("error", f"{KEY}.accessLogFormat", "not a JSON object, which the encoding JSON wants"))
        config = msgspec.structs.replace(config, access_log_format="")
    return Parsed(config, tuple(remarks))


def _given_twice(text: str) -> Iterator[Remark]:
    """Remarks on settings of the same name, of which YAML's readers take the last without a word."""
    document = yaml.compose(text, yaml.SafeLoader)
    names = [key.value for key, _ in document.value] if isinstance(document, yaml.MappingNode) else []
    for name in dict.fromkeys(name for name in names if names.count(name) > 1):
        yield Remark("warning", f"{KEY}.{name}", "given more than once: the last one holds, and those before do not")


def _closed() -> MeshConfig:
    return MeshConfig(**_CLOSED)


def _without_effect(name: str, value: Any) -> list[Remark]:
    path = f"{KEY}.{name}"
    if name in _OTHERS or name in _NOT_TRANSLATED:
        if value in _AS_IT_IS.get(name, ()):
            return []
        instead = _NOT_TRANSLATED.get(name, "")
        return [Remark("warning", path, f"this setting {WITHOUT_EFFECT}{'; ' if instead else ''}{instead}")]
    if name in _FIELDS:
        return []
    return [Remark("error", path, f"Istio knows no such setting{near(name, [*_FIELDS, *_OTHERS])}")]


def _problems(config: MeshConfig) -> Iterator[Problem]:
    """Problems that Istio's rules name, or Envoy would reject in every proxy's configuration."""
    yield from mesh_config(KEY, config)
    if config.access_log_encoding == "TEXT":
        yield from log_commands(f"{KEY}.accessLogFormat", config.access_log_format)


def _is_json(text: str) -> bool:
    try:
        msgspec.json.decode(text, type=dict[str, object])
    except (msgspec.ValidationError, msgspec.DecodeError):
        return False
    return True
