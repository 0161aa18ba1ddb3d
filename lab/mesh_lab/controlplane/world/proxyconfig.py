"""What holds for one proxy: the mesh's `defaultConfig`, ProxyConfig resources, and the pod's annotation.

What is more specific replaces a setting as a whole, but for `proxyMetadata`, whose entries are merged, and the parts of
`proxyHeaders`, as in Istio (`EffectiveProxyConfig`).
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
import yaml

from mesh_lab.controlplane.model.meshproxy import MeshProxyConfig, ProxyHeaders
from mesh_lab.controlplane.model.proxyconfig import ProxyConfig
from mesh_lab.controlplane.validation.bounds import bounds
from mesh_lab.controlplane.validation.meshproxy import proxy_settings
from mesh_lab.controlplane.world.configmaps import WITHOUT_EFFECT, Remark, near
from mesh_lab.controlplane.world.fieldnames import renamed
from mesh_lab.controlplane.world.kubernetes import PROXY_CONFIG_ANNOTATION

_FIELDS = {field.encode_name: field.name for field in msgspec.structs.fields(MeshProxyConfig)}
# Of `proxyHeaders`, what is kept where the more specific one does not name it.
_KEPT_HEADERS = ("forwarded_client_cert", "request_id", "attempt_count", "server", "envoy_debug_headers")

PER_PROXY = frozenset(
    {
        "concurrency",
        "drainDuration",
        "fileFlushInterval",
        "fileFlushMinSizeKb",
        "gatewayTopology",
        "holdApplicationUntilProxyStarts",
        "image",
        "proxyMetadata",
        "proxyStatsMatcher",
        "runtimeValues",
        "terminationDrainDuration",
    }
)
"""Settings that a proxy is started with, or that the listeners of a gateway are made by.

They have an effect in the mesh's `defaultConfig` and on a single pod.
"""

_AS_IT_IS: Mapping[str, tuple[Any, ...]] = {
    "binaryPath": ("/usr/local/bin/envoy",),
    "configPath": ("./etc/istio/proxy",),
    "controlPlaneAuthPolicy": ("MUTUAL_TLS",),
    "discoveryAddress": ("istiod.istio-system.svc:15012",),
    "interceptionMode": ("REDIRECT",),
    "proxyAdminPort": (15000,),
    "statusPort": (15020,),
    "tracing": ({},),
}
"""Values that equal what the lab does anyway."""

AGENTS_OWN = frozenset(("OUTPUT_CERTS",))
"""Variables for Istio's agent, which is not here: certificates in files."""


class Selected(NamedTuple):
    """The ProxyConfigs that hold for a pod: the general ones, the root namespace's first, and that which selects it."""

    general: tuple[ProxyConfig, ...] = ()
    workload: ProxyConfig | None = None


NONE_SELECTED = Selected()


def effective(mesh: MeshProxyConfig, selected: Selected = NONE_SELECTED, annotation: str = "") -> MeshProxyConfig:
    """The settings of a proxy. A resource that selects the pod goes before the annotation, which goes before others.

    Raises:
        ValueError: the annotation, which it names, has a bad value.
    """
    merged = mesh
    for resource in selected.general:
        merged = _with_resource(merged, resource)
    if annotation:
        merged = _with_annotation(merged, annotation)
    return _with_resource(merged, selected.workload) if selected.workload is not None else merged


@lru_cache(maxsize=1024)
def annotation_remarks(text: str) -> tuple[Remark, ...]:
    """Remarks on the fields in the value of `proxy.istio.io/config` that do nothing here.

    A text that is not YAML has none: injection fails for it.
    """
    try:
        document = renamed(yaml.safe_load(text), MeshProxyConfig)
    except (yaml.YAMLError, ValueError):
        return ()
    if not isinstance(document, dict):
        return ()
    return (*_unknown(MeshProxyConfig, document, ""), *without_effect(document, ""))


def without_effect(document: Any, path: str, more: frozenset[str] = frozenset()) -> Iterator[Remark]:
    """Warnings of the settings in `document`, as it is written, without effect; those in `more` have one."""
    for name, value in document.items() if isinstance(document, dict) else ():
        if name in _FIELDS and name not in PER_PROXY | more and value not in _AS_IT_IS.get(name, ()):
            yield Remark("warning", f"{path}.{name}", f"this setting {WITHOUT_EFFECT}")
        if name == "proxyMetadata" and isinstance(value, dict):
            for variable in sorted(value.keys() & AGENTS_OWN):
                yield Remark("warning", f"{path}.{name}[{variable}]", f"this variable {WITHOUT_EFFECT}")


def _with_resource(base: MeshProxyConfig, resource: ProxyConfig) -> MeshProxyConfig:
    changes: dict[str, Any] = {"proxy_metadata": {**base.proxy_metadata, **resource.environment_variables}}
    if resource.concurrency is not None:
        changes["concurrency"] = resource.concurrency
    if resource.image is not None:
        changes["image"] = resource.image
    return msgspec.structs.replace(base, **changes)


def _with_annotation(base: MeshProxyConfig, text: str) -> MeshProxyConfig:
    where = f"annotation {PROXY_CONFIG_ANNOTATION}"
    try:
        document = _known(MeshProxyConfig, renamed(yaml.safe_load(text) or {}, MeshProxyConfig))
        own = msgspec.convert(document, MeshProxyConfig, strict=False)
    except (msgspec.ValidationError, yaml.YAMLError, ValueError) as failure:
        raise ValueError(f"{where}: {failure}") from None
    given = {_FIELDS[name]: getattr(own, _FIELDS[name]) for name in document}
    if "proxy_metadata" in given:
        given["proxy_metadata"] = {**base.proxy_metadata, **own.proxy_metadata}
    if own.proxy_headers is not None and base.proxy_headers is not None:
        given["proxy_headers"] = _headers(base.proxy_headers, own.proxy_headers)
    merged = msgspec.structs.replace(base, **given)
    for problem in (*bounds(merged, ""), *proxy_settings("", merged)):
        if problem.severity == "error":
            raise ValueError(f"{where}: {problem.path.removeprefix('.')}: {problem.message}")
    return merged


def _headers(base: ProxyHeaders, own: ProxyHeaders) -> ProxyHeaders:
    defaults = ProxyHeaders()
    kept = {name: getattr(base, name) for name in _KEPT_HEADERS if getattr(own, name) == getattr(defaults, name)}
    return msgspec.structs.replace(own, **kept)


def _inner(struct: type[msgspec.Struct]) -> dict[str, type[msgspec.Struct] | None]:
    """The fields of a struct by the names that users write, and the struct in each, if it is one."""
    fields = msgspec.structs.fields(struct)
    return {field.encode_name: next(filter(_is_struct, _alternatives(field.type)), None) for field in fields}


def _alternatives(type_: Any) -> tuple[Any, ...]:
    return typing.get_args(type_) if typing.get_origin(type_) in (typing.Union, types.UnionType) else (type_,)


def _is_struct(part: Any) -> bool:
    return isinstance(part, type) and issubclass(part, msgspec.Struct)


def _known(struct: type[msgspec.Struct], document: Any) -> Any:
    """The document without the fields that Istio does not know: it ignores them, too."""
    if not isinstance(document, dict):
        return document
    fields = _inner(struct)
    return {
        name: _known(inner, value) if (inner := fields[name]) is not None else value
        for name, value in document.items()
        if name in fields
    }


def _unknown(struct: type[msgspec.Struct], document: Mapping[Any, Any], path: str) -> Iterator[Remark]:
    fields = _inner(struct)
    for name, value in document.items():
        where = f"{path}.{name}"
        if name not in fields:
            text = f"this setting is not known to Istio and has no effect{near(str(name), fields)}"
            yield Remark("error", where, text)
        elif (inner := fields[name]) is not None and isinstance(value, dict):
            yield from _unknown(inner, value, where)
