"""What holds for one proxy: the mesh's `defaultConfig`, ProxyConfig resources, and the pod's annotation.

What is more specific replaces a setting as a whole, but for `proxyMetadata`, whose entries are merged, and the parts of
`proxyHeaders`, as in Istio.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
import yaml

from mesh_lab.controlplane.model.meshproxy import MeshProxyConfig, ProxyHeaders
from mesh_lab.controlplane.model.proxyconfig import ProxyConfig
from mesh_lab.controlplane.validation.bounds import bounds
from mesh_lab.controlplane.validation.meshproxy import proxy_settings
from mesh_lab.controlplane.world.kubernetes import PROXY_CONFIG_ANNOTATION

_FIELDS = {field.encode_name: field.name for field in msgspec.structs.fields(MeshProxyConfig)}
# Of `proxyHeaders`, what is kept where the more specific one does not name it.
_KEPT_HEADERS = ("forwarded_client_cert", "request_id", "attempt_count", "server", "envoy_debug_headers")


def effective(mesh: MeshProxyConfig, resources: Iterable[ProxyConfig] = (), annotation: str = "") -> MeshProxyConfig:
    """The settings of a proxy. `resources` are those that select it, the most specific last.

    Raises:
        ValueError: the annotation, which it names, has a bad value.
    """
    merged = mesh
    for resource in resources:
        merged = _with_resource(merged, resource)
    return _with_annotation(merged, annotation) if annotation else merged


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
        document = yaml.safe_load(text) or {}
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
