"""The settings of proxies: the mesh's for all of them, and a pod's for its own.

https://istio.io/latest/docs/reference/config/annotations/ names the annotations.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec
import yaml

from mesh_lab.controlplane.validation.common import regex
from mesh_lab.controlplane.world.annotations import LOG_LEVEL, NATIVE_SIDECAR, PROXY_IMAGE, REWRITE_PROBES, boolean
from mesh_lab.controlplane.world.configmaps import WITHOUT_EFFECT, Remark, beside, near
from mesh_lab.controlplane.world.kubernetes import PROXY_CONFIG_ANNOTATION, STATISTICS_ANNOTATIONS

CONFIG_MAP = "istio-sidecar-injector"
_KEY = "data.values"

# Istio's other keys in its ConfigMap: the templates that are injected, and the values that they are given.
_OTHER_KEYS = frozenset(["config"])
_OTHERS = frozenset(["gateways", "global", "pilot", "revision", "sidecarInjectorWebhook"])


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
    drain_seconds: int = 45
    termination_drain_seconds: int = 5
    resources: Resources = msgspec.field(default_factory=Resources)


def parse_values(text: str) -> Values:
    """Values from YAML.

    Raises:
        ValueError: a field, which it names, has a bad value.
    """
    try:
        return msgspec.convert(yaml.safe_load(text) or {}, Values)
    except (msgspec.ValidationError, yaml.YAMLError) as error:
        raise ValueError(f"ConfigMap {CONFIG_MAP!r}, key 'values': {error}") from None


def remarks(keys: dict[str, dict[str, Any]]) -> Iterator[Remark]:
    """What is wrong with the values in the ConfigMap's keys, or has no effect; and with those keys."""
    yield from _of_values(keys["data"].get("values", ""))
    yield from beside(keys, "values", _OTHER_KEYS)


def _of_values(text: str) -> Iterator[Remark]:
    try:
        document = yaml.safe_load(text) or {}
    except (yaml.YAMLError, ValueError) as error:
        yield Remark("error", _KEY, f"not YAML, so the last good values stay in use: {error}")
        return
    try:
        msgspec.convert(document, Values)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$")
        yield Remark("error", f"{_KEY}{where.removesuffix('`')}", f"{what}; all the last good values stay in use")
    if isinstance(document, dict):
        yield from _unknown(Values, document, _KEY, _OTHERS)


def _unknown(
    struct: type[msgspec.Struct], document: Mapping[Any, Any], path: str, istios: frozenset[str] = frozenset()
) -> Iterator[Remark]:
    """Remarks on fields that are not known; Istio has those in `istios`."""
    types = {field.encode_name: field.type for field in msgspec.structs.fields(struct)}
    for name, value in document.items():
        where, inner = f"{path}.{name}", types.get(name)
        if name in istios:
            yield Remark("warning", where, f"this value {WITHOUT_EFFECT}")
        elif name not in types:
            text = f"this value is not known here and has no effect{near(str(name), [*types, *istios])}"
            yield Remark("error", where, text)
        elif isinstance(inner, type) and issubclass(inner, msgspec.Struct) and isinstance(value, dict):
            yield from _unknown(inner, value, where)


@dataclass(frozen=True)
class StatsMatcher:
    """More statistics to keep, by the beginning, the end, or a regular expression of their names."""

    prefixes: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = ()
    regexps: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self.prefixes or self.suffixes or self.regexps)


class _ProxyStatsMatcher(msgspec.Struct, frozen=True, rename="camel"):
    inclusion_prefixes: tuple[str, ...] = ()
    inclusion_suffixes: tuple[str, ...] = ()
    inclusion_regexps: tuple[str, ...] = ()


class _PodConfig(msgspec.Struct, frozen=True, rename="camel"):
    """The annotation `proxy.istio.io/config`; `proxy_config_remarks` reports all other fields."""

    concurrency: int | None = None
    hold_application_until_proxy_starts: bool | None = None
    drain_duration: str = ""
    termination_drain_duration: str = ""
    proxy_stats_matcher: _ProxyStatsMatcher = _ProxyStatsMatcher()


@lru_cache(maxsize=1024)
def proxy_config_remarks(text: str) -> tuple[Remark, ...]:
    """Remarks on the fields in the value of `proxy.istio.io/config` that do nothing here.

    A text that is not YAML has none: injection fails for it.
    """
    try:
        document = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        return ()
    return tuple(_unknown(_PodConfig, document, "")) if isinstance(document, dict) else ()


def for_pod(values: Values, annotations: Mapping[str, str]) -> tuple[Values, StatsMatcher]:
    """The values as a pod's annotations change them, and the statistics it requests beside those that all proxies keep.

    Raises:
        ValueError: an annotation, which it names, has a bad value.
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
    if config.drain_duration:
        changes["drain_seconds"] = _whole_seconds("drainDuration", config.drain_duration)
    if config.termination_drain_duration:
        changes["termination_drain_seconds"] = _whole_seconds(
            "terminationDrainDuration", config.termination_drain_duration
        )
    return msgspec.structs.replace(values, **changes), _statistics(config.proxy_stats_matcher, annotations)


def _whole_seconds(field: str, text: str) -> int:
    if not text.endswith("s") or not text[:-1].isdigit():
        raise ValueError(f"annotation {PROXY_CONFIG_ANNOTATION}: {field}: {text!r} is not whole seconds, as in 5s")
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
