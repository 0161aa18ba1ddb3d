"""What one pod's proxy is started with: the mesh's values and settings, ProxyConfigs, and the pod's annotations.

https://istio.io/latest/docs/reference/config/annotations/ names the annotations.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mesh_lab.controlplane.model.meshproxy import MeshProxyConfig, ProxyStatsMatcher
from mesh_lab.controlplane.model.proxyconfig import ProxyConfig
from mesh_lab.controlplane.model.units import nanoseconds
from mesh_lab.controlplane.validation.common import regex
from mesh_lab.controlplane.world import annotations as names
from mesh_lab.controlplane.world.annotations import boolean
from mesh_lab.controlplane.world.kubernetes import PROXY_CONFIG_ANNOTATION, STATISTICS_ANNOTATIONS
from mesh_lab.controlplane.world.proxyconfig import Selected, effective
from mesh_lab.controlplane.world.snapshot import Config
from mesh_lab.controlplane.world.values import Resources, Values

_SECOND = 1_000_000_000
_LOG_LEVELS = ("trace", "debug", "info", "warning", "warn", "error", "critical", "off")
_QUANTITY = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([numkMGTPE]|[KMGTPE]i|[eE][+-]?\d+)?")
# As Istio has them, for want of a value of its own.
_COMPONENT_LOG_LEVEL = "misc:error"
_MINIMUM_DRAIN = "5s"


@dataclass(frozen=True)
class StatsMatcher:
    """More statistics to keep, by the beginning, the end, or a regular expression of their names."""

    prefixes: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = ()
    regexps: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self.prefixes or self.suffixes or self.regexps)


@dataclass(frozen=True)
class Statistics:
    """Which statistics a proxy keeps beside the usual ones, and how."""

    more: StatsMatcher = StatsMatcher()
    flush_interval: str = ""
    buckets: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Draining:
    """How a proxy ends, in seconds: clients are asked to leave within `drain`, and it goes on for `termination`.

    With `until_idle` it goes on for `minimum`, and then for as long as there is a connection.
    """

    drain: int = 45
    termination: int = 5
    until_idle: bool = False
    minimum: int = 5


@dataclass(frozen=True)
class Readiness:
    """How a proxy's readiness is asked for, in seconds; None is the lab's own."""

    initial_delay: int | None = None
    period: int | None = None
    failures: int | None = None
    probed: bool = True


@dataclass(frozen=True)
class Extras:
    """What a pod's author adds to the proxy's container. `bootstrap` is the name of a ConfigMap."""

    environment: Mapping[str, str] = field(default_factory=dict)
    runtime: Mapping[str, bool | float | str] = field(default_factory=dict)
    volumes: tuple[Mapping[str, Any], ...] = ()
    mounts: tuple[Mapping[str, Any], ...] = ()
    bootstrap: str = ""


@dataclass(frozen=True)
class PodSettings:
    """All of it. `traffic` are the annotations on redirection, with the mesh's values where the pod has none."""

    image: str
    image_pull_policy: str
    resources: Resources
    log_level: str
    component_log_level: str
    concurrency: int
    native_sidecars: bool
    hold_application: bool
    rewrite_probes: bool
    draining: Draining
    statistics: Statistics
    readiness: Readiness
    extras: Extras
    file_flush_milliseconds: int
    file_flush_kilobytes: int
    traffic: Mapping[str, str]


def select(
    configs: Iterable[Config[ProxyConfig]], root_namespace: str, namespace: str, labels: Mapping[str, str]
) -> Selected:
    """Of each scope the oldest holds."""
    general: dict[str, ProxyConfig] = {}
    workload: ProxyConfig | None = None
    for config in sorted(configs, key=lambda each: each.precedence):
        selector = config.spec.selector
        if selector is None:
            general.setdefault(config.namespace, config.spec)
        elif config.namespace == namespace and selector.match_labels and workload is None:
            workload = config.spec if selector.match_labels.items() <= labels.items() else None
    scopes = dict.fromkeys((root_namespace, namespace))
    return Selected(tuple(general[scope] for scope in scopes if scope in general), workload)


def for_pod(values: Values, mesh: MeshProxyConfig, selected: Selected, annotations: Mapping[str, str]) -> PodSettings:
    """The settings of the proxy of a pod with these annotations.

    Raises:
        ValueError: an annotation, which it names, has a bad value.
    """
    config = effective(mesh, selected, annotations.get(PROXY_CONFIG_ANNOTATION, ""))
    proxy, webhook = values.global_.proxy, values.sidecar_injector_webhook
    hold = config.hold_application_until_proxy_starts or proxy.hold_application_until_proxy_starts
    rewrite = (
        values.rewrite_app_http_probe if webhook.rewrite_app_http_probe is None else webhook.rewrite_app_http_probe
    )
    return PodSettings(
        image=annotations.get(names.PROXY_IMAGE) or _image(values),
        image_pull_policy=values.global_.image_pull_policy or values.image_pull_policy,
        resources=_resources(annotations, proxy.resources or values.resources),
        log_level=_log_level(annotations) or proxy.log_level or values.log_level,
        component_log_level=annotations.get(names.COMPONENT_LOG_LEVEL)
        or proxy.component_log_level
        or _COMPONENT_LOG_LEVEL,
        concurrency=values.concurrency if config.concurrency is None else config.concurrency,
        native_sidecars=boolean(annotations, names.NATIVE_SIDECAR, values.native_sidecars),
        hold_application=bool(hold or values.hold_application_until_proxy_starts),
        rewrite_probes=boolean(annotations, names.REWRITE_PROBES, rewrite),
        draining=_draining(config),
        statistics=_statistics(config.proxy_stats_matcher or ProxyStatsMatcher(), annotations),
        readiness=_readiness(annotations, values),
        extras=_extras(config, annotations),
        file_flush_milliseconds=nanoseconds(config.file_flush_interval) // 1_000_000
        if config.file_flush_interval
        else 0,
        file_flush_kilobytes=config.file_flush_min_size_kb,
        traffic={**_traffic(values), **annotations},
    )


def _image(values: Values) -> str:
    """Istio's: a name with a path, or one of its `hub` and with its `tag`; the lab's own where no hub is given.

    `istioctl analyze` puts it together in the same way, and warns of pods with another.
    """
    given, hub, tag = values.global_.proxy.image or "", values.global_.hub, str(values.global_.tag)
    if "/" in given:
        return given
    return f"{hub}/{given}:{tag}" if given and hub and tag else values.image


def _log_level(annotations: Mapping[str, str]) -> str:
    text = annotations.get(names.LOG_LEVEL, "")
    if text and text not in _LOG_LEVELS:
        raise ValueError(f"annotation {names.LOG_LEVEL}: {text!r} is none of {', '.join(_LOG_LEVELS)}")
    return text


def _resources(annotations: Mapping[str, str], usual: Resources) -> Resources:
    """As in Istio, one annotation replaces all that is usual."""
    places = {
        names.PROXY_CPU: ("requests", "cpu"),
        names.PROXY_MEMORY: ("requests", "memory"),
        names.PROXY_CPU_LIMIT: ("limits", "cpu"),
        names.PROXY_MEMORY_LIMIT: ("limits", "memory"),
    }
    if not places.keys() & annotations.keys():
        return usual
    own: dict[str, dict[str, str]] = {"requests": {}, "limits": {}}
    for name, (part, resource) in places.items():
        if name not in annotations:
            continue
        if not _QUANTITY.fullmatch(annotations[name]):
            raise ValueError(f"annotation {name}: {annotations[name]!r} is not a quantity, as in 100m or 128Mi")
        own[part][resource] = annotations[name]
    return Resources(own["requests"], own["limits"])


def _draining(config: MeshProxyConfig) -> Draining:
    metadata = config.proxy_metadata
    minimum = metadata.get("MINIMUM_DRAIN_DURATION", _MINIMUM_DRAIN)
    return Draining(
        _seconds(config.drain_duration),
        _seconds(config.termination_drain_duration),
        names.parse_boolean(metadata.get("EXIT_ON_ZERO_ACTIVE_CONNECTIONS", "")) is True,
        _seconds(minimum),
    )


def _seconds(text: str) -> int:
    return math.ceil(nanoseconds(text) / _SECOND)


def _readiness(annotations: Mapping[str, str], values: Values) -> Readiness:
    proxy = values.global_.proxy
    if not annotations.get(names.STATUS_PORT, "0").isdecimal():
        raise ValueError(f"annotation {names.STATUS_PORT}: {annotations[names.STATUS_PORT]!r} is not a port")
    return Readiness(
        _whole(annotations, names.READINESS_INITIAL_DELAY, proxy.readiness_initial_delay_seconds),
        _whole(annotations, names.READINESS_PERIOD, proxy.readiness_period_seconds),
        _whole(annotations, names.READINESS_FAILURES, proxy.readiness_failure_threshold),
        annotations.get(names.STATUS_PORT) != "0",
    )


def _whole(annotations: Mapping[str, str], name: str, usual: int | None) -> int | None:
    text = annotations.get(name)
    if text is None:
        return usual
    if not text.isdecimal():
        raise ValueError(f"annotation {name}: {text!r} is not a whole number")
    return int(text)


def _extras(config: MeshProxyConfig, annotations: Mapping[str, str]) -> Extras:
    return Extras(
        config.proxy_metadata,
        {name: _scalar(text) for name, text in config.runtime_values.items()},
        _by_name(annotations, names.USER_VOLUME),
        _by_name(annotations, names.USER_VOLUME_MOUNT),
        annotations.get(names.BOOTSTRAP_OVERRIDE, ""),
    )


def _scalar(text: str) -> bool | float | str:
    """A value of Envoy's runtime: flags and numbers are no text there."""
    if text in ("true", "false"):
        return text == "true"
    try:
        return float(text)
    except ValueError:
        return text


def _by_name(annotations: Mapping[str, str], name: str) -> tuple[Mapping[str, Any], ...]:
    """Volumes, or their mounts, by the names of volumes."""
    try:
        document = json.loads(annotations.get(name) or "{}")
    except ValueError as error:
        raise ValueError(f"annotation {name}: not JSON: {error}") from None
    if not isinstance(document, dict) or not all(isinstance(each, dict) for each in document.values()):
        raise ValueError(f"annotation {name}: not a JSON object of the settings by a volume's name")
    return tuple({"name": volume, **settings} for volume, settings in document.items())


def _statistics(matcher: ProxyStatsMatcher, annotations: Mapping[str, str]) -> Statistics:
    prefixes, suffixes, regexps = (_listed(annotations, name) for name in STATISTICS_ANNOTATIONS)
    for pattern in regexps:
        for problem in regex(f"annotation {STATISTICS_ANNOTATIONS[-1]}", pattern):
            raise ValueError(f"{problem.path}: {problem.message}")
    interval = annotations.get(names.STATS_FLUSH_INTERVAL, "")
    if interval:
        try:
            interval = f"{nanoseconds(interval) / _SECOND:g}s"
        except ValueError as error:
            raise ValueError(f"annotation {names.STATS_FLUSH_INTERVAL}: {error}") from None
    more = StatsMatcher(
        (*matcher.inclusion_prefixes, *prefixes),
        (*matcher.inclusion_suffixes, *suffixes),
        (*matcher.inclusion_regexps, *regexps),
    )
    return Statistics(more, interval, _buckets(annotations))


def _buckets(annotations: Mapping[str, str]) -> dict[str, tuple[float, ...]]:
    """The bounds of histograms, by the beginnings of their names."""
    name = names.STATS_HISTOGRAM_BUCKETS
    try:
        document = json.loads(annotations.get(name) or "{}")
        buckets = {str(prefix): tuple(float(bound) for bound in bounds) for prefix, bounds in document.items()}
    except (ValueError, TypeError, AttributeError):
        raise ValueError(f'annotation {name}: not JSON such as {{"istio": [1, 5, 10]}}') from None
    if any(list(bounds) != sorted(set(bounds)) or not bounds or bounds[0] <= 0 for bounds in buckets.values()):
        raise ValueError(f"annotation {name}: bounds are positive, and each is larger than the one before")
    return buckets


def _listed(annotations: Mapping[str, str], name: str) -> list[str]:
    return [part.strip() for part in annotations.get(name, "").split(",") if part.strip()]


def _traffic(values: Values) -> dict[str, str]:
    proxy = values.global_.proxy
    return {
        names.INCLUDE_OUTBOUND_RANGES: proxy.include_ip_ranges,
        names.EXCLUDE_OUTBOUND_RANGES: proxy.exclude_ip_ranges,
        names.INCLUDE_INBOUND_PORTS: proxy.include_inbound_ports,
        names.EXCLUDE_INBOUND_PORTS: proxy.exclude_inbound_ports,
        names.INCLUDE_OUTBOUND_PORTS: proxy.include_outbound_ports,
        names.EXCLUDE_OUTBOUND_PORTS: proxy.exclude_outbound_ports,
    }
