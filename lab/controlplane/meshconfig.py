"""The mesh's settings: the key `mesh` of the ConfigMap `istio`, in Istio's own words.

https://istio.io/latest/docs/reference/config/istio.mesh.v1alpha1/ has many more; what is not read here is ignored.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

import msgspec
import yaml

from lab.controlplane.model.base import FreeText
from lab.controlplane.model.sidecar import OutboundTrafficPolicy
from lab.controlplane.model.units import DURATION_PATTERN
from lab.controlplane.validation.bounds import bounds
from lab.controlplane.validation.commands import commands
from lab.controlplane.validation.common import Problem, duration

CONFIG_MAP = "istio"


class MeshConfig(msgspec.Struct, frozen=True, eq=False, rename="camel"):
    """Defaults are those of Istio's demo profile: the access log is on and goes to the sidecar's stdout."""

    access_log_file: str = "/dev/stdout"
    access_log_format: FreeText = ""
    access_log_encoding: Literal["TEXT", "JSON"] = "TEXT"
    enable_auto_mtls: bool = msgspec.field(default=True, name="enableAutoMtls")
    outbound_traffic_policy: OutboundTrafficPolicy = OutboundTrafficPolicy(mode="ALLOW_ANY")
    h2_upgrade_policy: Literal["DO_NOT_UPGRADE", "UPGRADE"] = "UPGRADE"
    connect_timeout: Annotated[str, msgspec.Meta(pattern=DURATION_PATTERN)] = "10s"
    root_namespace: str = "istio-system"
    trust_domain: str = "cluster.local"
    cluster_domain: str = "cluster.local"


def parse(text: str) -> MeshConfig:
    """The settings in the YAML of the key `mesh`. Raises ValueError that names the field."""
    try:
        config = msgspec.convert(yaml.safe_load(text) or {}, MeshConfig)
    except (msgspec.ValidationError, yaml.YAMLError) as error:
        raise ValueError(f"ConfigMap {CONFIG_MAP!r}, key 'mesh': {error}") from None
    if config.access_log_encoding == "JSON" and config.access_log_format and not _is_json(config.access_log_format):
        raise ValueError(
            f"ConfigMap {CONFIG_MAP!r}, key 'mesh': accessLogFormat must be a JSON object for the encoding JSON"
        )
    problem = next(_out_of_range(config), None)
    if problem is not None:
        raise ValueError(f"ConfigMap {CONFIG_MAP!r}, key 'mesh': {problem.path}: {problem.message}")
    return config


def _out_of_range(config: MeshConfig) -> Iterator[Problem]:
    """What Envoy would refuse in every proxy's configuration."""
    yield from bounds(config, "mesh")
    yield from duration("mesh.connectTimeout", config.connect_timeout)
    if config.access_log_encoding == "TEXT":
        yield from commands("mesh.accessLogFormat", config.access_log_format)


def _is_json(text: str) -> bool:
    try:
        msgspec.json.decode(text, type=dict[str, object])
    except (msgspec.ValidationError, msgspec.DecodeError):
        return False
    return True
