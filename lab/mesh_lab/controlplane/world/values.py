"""The mesh's choices for all proxies: the key `values` of the ConfigMap `istio-sidecar-injector`.

`global` and `sidecarInjectorWebhook` are Istio's own, of which the lab reads a part:
https://istio.io/latest/docs/reference/config/istio.operator.v1alpha1/. The others are the lab's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import yaml

from mesh_lab.controlplane.world.configmaps import WITHOUT_EFFECT, Remark, beside, near

CONFIG_MAP = "istio-sidecar-injector"
_KEY = "data.values"

# Istio's other keys in its ConfigMap: the templates that are injected, and the values that they are given.
_OTHER_KEYS = frozenset(["config"])
_OTHERS = frozenset(["gateways", "pilot", "revision"])


class Resources(msgspec.Struct, frozen=True):
    """A container's requests and limits."""

    requests: dict[str, str] = msgspec.field(default_factory=lambda: {"cpu": "10m", "memory": "40Mi"})
    limits: dict[str, str] = msgspec.field(default_factory=dict)


class GlobalProxy(msgspec.Struct, frozen=True, rename="camel"):
    """What Istio's values say of all proxies. None leaves it to the lab's own value, or default."""

    image: str | None = None
    log_level: str | None = None
    component_log_level: str | None = None
    hold_application_until_proxy_starts: bool | None = None
    include_ip_ranges: str = msgspec.field(default="*", name="includeIPRanges")
    exclude_ip_ranges: str = msgspec.field(default="", name="excludeIPRanges")
    include_inbound_ports: str = "*"
    exclude_inbound_ports: str = ""
    include_outbound_ports: str = ""
    exclude_outbound_ports: str = ""
    readiness_initial_delay_seconds: int | None = None
    readiness_period_seconds: int | None = None
    readiness_failure_threshold: int | None = None
    resources: Resources | None = None


class Global(msgspec.Struct, frozen=True, rename="camel"):
    """Istio's values for all of its parts."""

    hub: str = ""
    tag: str | int | float = ""
    proxy: GlobalProxy = msgspec.field(default_factory=GlobalProxy)
    image_pull_policy: str = ""


class Webhook(msgspec.Struct, frozen=True, rename="camel"):
    """Istio's values for injection itself."""

    rewrite_app_http_probe: bool | None = msgspec.field(default=None, name="rewriteAppHTTPProbe")
    injected_annotations: dict[str, str] = msgspec.field(default_factory=dict)
    # Told to istioctl, as in Istio: the webhook's selectors decide, which Istio's charts make of it.
    enable_namespaces_by_default: bool = False


# Istio has more fields in these than the lab reads.
_OPEN = (GlobalProxy, Global, Webhook)


class Values(msgspec.Struct, frozen=True, rename="camel"):
    """The mesh's choices for all proxies."""

    image: str = "mesh-lab/proxyv2"
    image_pull_policy: str = "IfNotPresent"
    concurrency: int = 1
    log_level: str = "warning"
    hold_application_until_proxy_starts: bool = False
    native_sidecars: bool = True
    rewrite_app_http_probe: bool = msgspec.field(default=True, name="rewriteAppHTTPProbe")
    resources: Resources = msgspec.field(default_factory=Resources)
    global_: Global = msgspec.field(default_factory=Global, name="global")
    sidecar_injector_webhook: Webhook = msgspec.field(default_factory=Webhook)


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
        if name in istios or (struct in _OPEN and name not in types):
            yield Remark("warning", where, f"this value {WITHOUT_EFFECT}")
        elif name not in types:
            text = f"this value is not known here and has no effect{near(str(name), [*types, *istios])}"
            yield Remark("error", where, text)
        elif isinstance(inner, type) and issubclass(inner, msgspec.Struct) and isinstance(value, dict):
            yield from _unknown(inner, value, where)
