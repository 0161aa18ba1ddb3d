"""What proxies are like: the mesh's choices for all of them, and those of a pod for its own.

https://istio.io/latest/docs/reference/config/annotations/ names the annotations.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec
import yaml

from lab.controlplane.annotations import LOG_LEVEL, NATIVE_SIDECAR, PROXY_IMAGE, REWRITE_PROBES, boolean
from lab.controlplane.bootstrap import StatsMatcher
from lab.controlplane.kubernetes import PROXY_CONFIG_ANNOTATION, STATISTICS_ANNOTATIONS
from lab.controlplane.validation.common import regex


class Resources(msgspec.Struct, frozen=True):
    """A container's requests and limits."""

    requests: dict[str, str] = msgspec.field(default_factory=lambda: {"cpu": "10m", "memory": "40Mi"})
    limits: dict[str, str] = msgspec.field(default_factory=dict)


class Values(msgspec.Struct, frozen=True, rename="camel"):
    """The mesh's choices for all proxies: the key `values` of the ConfigMap `istio-sidecar-injector`."""

    image: str = "mesh-lab/proxyv2"
    image_pull_policy: str = "IfNotPresent"
    concurrency: int = 1
    log_level: str = "warning"
    hold_application_until_proxy_starts: bool = False
    native_sidecars: bool = True
    rewrite_app_http_probe: bool = msgspec.field(default=True, name="rewriteAppHTTPProbe")
    termination_drain_seconds: int = 5
    resources: Resources = msgspec.field(default_factory=Resources)


def parse_values(text: str) -> Values:
    """Values from YAML. Raises ValueError that names the field."""
    try:
        return msgspec.convert(yaml.safe_load(text) or {}, Values)
    except (msgspec.ValidationError, yaml.YAMLError) as error:
        raise ValueError(f"ConfigMap 'istio-sidecar-injector', key 'values': {error}") from None


class _ProxyStatsMatcher(msgspec.Struct, frozen=True, rename="camel"):
    inclusion_prefixes: tuple[str, ...] = ()
    inclusion_suffixes: tuple[str, ...] = ()
    inclusion_regexps: tuple[str, ...] = ()


class _PodConfig(msgspec.Struct, frozen=True, rename="camel"):
    """The annotation `proxy.istio.io/config`; of Istio's other fields an Event tells that they do nothing."""

    concurrency: int | None = None
    hold_application_until_proxy_starts: bool | None = None
    termination_drain_duration: str = ""
    proxy_stats_matcher: _ProxyStatsMatcher = _ProxyStatsMatcher()


PROXY_CONFIG_FIELDS = frozenset(field.encode_name for field in msgspec.structs.fields(_PodConfig))
"""Those fields of `proxy.istio.io/config` that have an effect."""
_MATCHER_FIELDS = frozenset(field.encode_name for field in msgspec.structs.fields(_ProxyStatsMatcher))


@lru_cache(maxsize=1024)
def fields_without_effect(text: str) -> tuple[str, ...]:
    """The fields in the value of `proxy.istio.io/config` that do nothing here. Of a text that is no YAML there are
    none: injection refuses it.
    """
    try:
        given = yaml.safe_load(text)
    except yaml.YAMLError:
        return ()
    if not isinstance(given, dict):
        return ()
    matcher = given.get("proxyStatsMatcher")
    of_matcher = matcher if isinstance(matcher, dict) else {}
    return (
        *(str(name) for name in given if name not in PROXY_CONFIG_FIELDS),
        *(f"proxyStatsMatcher.{name}" for name in of_matcher if name not in _MATCHER_FIELDS),
    )


def for_pod(values: Values, annotations: Mapping[str, str]) -> tuple[Values, StatsMatcher]:
    """The values as a pod's annotations change them, and the statistics it asks for beside those that all proxies keep.

    Raises ValueError that names the annotation.
    """
    try:
        config = msgspec.convert(yaml.safe_load(annotations.get(PROXY_CONFIG_ANNOTATION, "")) or {}, _PodConfig)
    except (msgspec.ValidationError, yaml.YAMLError) as error:
        raise ValueError(f"annotation {PROXY_CONFIG_ANNOTATION}: {error}") from None
    changes: dict[str, Any] = {
        "rewrite_app_http_probe": boolean(annotations, REWRITE_PROBES, values.rewrite_app_http_probe),
        "native_sidecars": boolean(annotations, NATIVE_SIDECAR, values.native_sidecars),
        "image": annotations.get(PROXY_IMAGE, values.image),
        "log_level": annotations.get(LOG_LEVEL, values.log_level),
    }
    if config.concurrency is not None:
        changes["concurrency"] = config.concurrency
    if config.hold_application_until_proxy_starts is not None:
        changes["hold_application_until_proxy_starts"] = config.hold_application_until_proxy_starts
    if config.termination_drain_duration:
        changes["termination_drain_seconds"] = _whole_seconds(config.termination_drain_duration)
    return msgspec.structs.replace(values, **changes), _statistics(config.proxy_stats_matcher, annotations)


def _whole_seconds(text: str) -> int:
    if not text.endswith("s") or not text[:-1].isdigit():
        raise ValueError(
            f"annotation {PROXY_CONFIG_ANNOTATION}: terminationDrainDuration: {text!r} is not whole seconds, as in 5s"
        )
    return int(text[:-1])


def _statistics(matcher: _ProxyStatsMatcher, annotations: Mapping[str, str]) -> StatsMatcher:
    prefixes, suffixes, regexps = (_listed(annotations, name) for name in STATISTICS_ANNOTATIONS)
    for name, given in ((PROXY_CONFIG_ANNOTATION, matcher.inclusion_regexps), (STATISTICS_ANNOTATIONS[-1], regexps)):
        for pattern in given:
            for problem in regex(f"annotation {name}", pattern):
                raise ValueError(f"{problem.path}: {problem.message}")
    return StatsMatcher(
        (*matcher.inclusion_prefixes, *prefixes),
        (*matcher.inclusion_suffixes, *suffixes),
        (*matcher.inclusion_regexps, *regexps),
    )


def _listed(annotations: Mapping[str, str], name: str) -> list[str]:
    return [part.strip() for part in annotations.get(name, "").split(",") if part.strip()]
