"""A container's environment.

`env`, `envFrom`, fields of the pod, its namespace's Services, and `$(VARIABLE)` references.
Behaviour and messages are the kubelet's; see
https://kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables/ and
https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import Any

from mesh_lab.kube.objects.containers import (
    Container,
    EnvFromSource,
    EnvVarSource,
    FieldRef,
    KeySelector,
    ResourceFieldRef,
)
from mesh_lab.kube.objects.pods import Pod
from mesh_lab.kube.objects.services import Service
from mesh_lab.kube.registry.syntax import quantities

_REFERENCE = re.compile(r"\$(\$|\(([^)]*)\))")
_SUBSCRIPT = re.compile(r"^metadata\.(labels|annotations)\['(.+)'\]$")
_NAME = re.compile(r"^[^=\x00-\x1f]+$")

Find = Callable[[str, str], dict[str, Any] | None]


class ConfigProblem(Exception):  # noqa: N818 - the kubelet's own word for it is CreateContainerConfigError
    """A container's configuration refers to something that does not exist."""


@dataclass(frozen=True)
class Surroundings:
    """What a pod's fields and references are looked up in. `config_map` and `secret` take a namespace and a name."""

    config_map: Find
    secret: Find
    services: Iterable[Service]
    pod_ips: tuple[str, ...]
    host_ips: tuple[str, ...]
    node_name: str
    allocatable: Mapping[str, Decimal]


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Replace `$(NAME)` by the variable's value; `$$` is a dollar sign, and what is not defined stays as it is."""

    def value(match: re.Match[str]) -> str:
        return "$" if match[1] == "$" else variables.get(match[2], match[0])

    return _REFERENCE.sub(value, text)


def environment(pod: Pod, container: Container, image: Mapping[str, str], around: Surroundings) -> dict[str, str]:
    """Return all variables of the container, in the kubelet's order of precedence.

    Raises:
        ConfigProblem: a ConfigMap, Secret, key or field is missing.
    """
    inherited = {**image, **service_variables(pod, around.services)}
    own: dict[str, str] = {}
    for source in container.env_from:
        own.update(_all_keys(pod, source, around))
    for variable in container.env:
        if variable.value_from is None:
            own[variable.name] = expand(variable.value, {**inherited, **own})
            continue
        value = _value_from(pod, container, variable.value_from, around)
        if value is not None:
            own[variable.name] = value
    return {**inherited, **own}


def service_variables(pod: Pod, services: Iterable[Service]) -> dict[str, str]:
    """`REVIEWS_SERVICE_HOST` and its like for the Services of the pod's namespace and for the API server."""
    variables: dict[str, str] = {}
    for service in services:
        of_api = (service.metadata.namespace, service.metadata.name) == ("default", "kubernetes")
        linked = pod.spec.enable_service_links and service.metadata.namespace == pod.metadata.namespace
        if service.spec.virtual and service.spec.ports and (of_api or linked):
            variables.update(_of_service(service))
    return variables


def _of_service(service: Service) -> dict[str, str]:
    prefix = service.metadata.name.upper().replace("-", "_")
    address, ports = service.spec.cluster_ip, service.spec.ports
    variables = {f"{prefix}_SERVICE_HOST": address, f"{prefix}_SERVICE_PORT": str(ports[0].port)}
    for port in ports:
        if port.name:
            variables[f"{prefix}_SERVICE_PORT_{port.name.upper().replace('-', '_')}"] = str(port.port)
    for number, port in enumerate(ports):
        url = f"{port.protocol.lower()}://{address}:{port.port}"
        if number == 0:
            variables[f"{prefix}_PORT"] = url
        full = f"{prefix}_PORT_{port.port}_{port.protocol}"
        variables |= {
            full: url,
            f"{full}_PROTO": port.protocol.lower(),
            f"{full}_PORT": str(port.port),
            f"{full}_ADDR": address,
        }
    return variables


def _all_keys(pod: Pod, source: EnvFromSource, around: Surroundings) -> dict[str, str]:
    namespace = pod.metadata.namespace
    if source.config_map_ref is not None:
        reference, what, data = (
            source.config_map_ref,
            "configmap",
            around.config_map(namespace, source.config_map_ref.name),
        )
    elif source.secret_ref is not None:
        reference, what, data = source.secret_ref, "secret", around.secret(namespace, source.secret_ref.name)
    else:
        return {}
    if data is None:
        if reference.optional:
            return {}
        raise ConfigProblem(f'{what} "{reference.name}" not found')
    values = config_map_texts(data) if what == "configmap" else secret_texts(data)
    return {source.prefix + key: value for key, value in values.items() if _NAME.match(source.prefix + key)}


def _value_from(pod: Pod, container: Container, source: EnvVarSource, around: Surroundings) -> str | None:
    if source.field_ref is not None:
        return field_value(pod, source.field_ref, around)
    if source.resource_field_ref is not None:
        return resource_value(pod, source.resource_field_ref, around, container)
    if source.config_map_key_ref is not None:
        data = around.config_map(pod.metadata.namespace, source.config_map_key_ref.name)
        texts = None if data is None else config_map_texts(data)
        return _key(pod, source.config_map_key_ref, texts, "configmap", "ConfigMap")
    if source.secret_key_ref is not None:
        data = around.secret(pod.metadata.namespace, source.secret_key_ref.name)
        texts = None if data is None else secret_texts(data)
        return _key(pod, source.secret_key_ref, texts, "secret", "Secret")
    return None


def _key(pod: Pod, selector: KeySelector, texts: Mapping[str, str] | None, what: str, kind: str) -> str | None:
    if texts is not None and selector.key in texts:
        return texts[selector.key]
    if selector.optional:
        return None
    if texts is None:
        raise ConfigProblem(f'{what} "{selector.name}" not found')
    raise ConfigProblem(f"couldn't find key {selector.key} in {kind} {pod.metadata.namespace}/{selector.name}")


def config_map_texts(data: Mapping[str, Any]) -> dict[str, str]:
    """Return a ConfigMap's textual keys."""
    return dict(data.get("data") or {})


def secret_texts(data: Mapping[str, Any]) -> dict[str, str]:
    """Return a Secret's keys as text; bytes that are not UTF-8 become surrogates and reach the process unchanged."""
    decoded = {key: base64.b64decode(value) for key, value in (data.get("data") or {}).items()}
    return {key: value.decode("utf-8", "surrogateescape") for key, value in decoded.items()}


def field_value(pod: Pod, reference: FieldRef, around: Surroundings) -> str:
    """Return the value of a `fieldRef`, for a variable or a file.

    Raises:
        ConfigProblem: pods have no such field here.
    """
    path, metadata = reference.field_path, pod.metadata
    simple = {
        "metadata.name": metadata.name,
        "metadata.namespace": metadata.namespace,
        "metadata.uid": metadata.uid,
        "spec.nodeName": around.node_name,
        "spec.serviceAccountName": pod.spec.service_account_name or "default",
        "status.podIP": next(iter(around.pod_ips), ""),
        "status.podIPs": ",".join(around.pod_ips),
        "status.hostIP": next(iter(around.host_ips), ""),
        "status.hostIPs": ",".join(around.host_ips),
    }
    if path in simple:
        return simple[path]
    if match := _SUBSCRIPT.match(path):
        entries = metadata.labels if match[1] == "labels" else metadata.annotations
        return entries.get(match[2], "")
    if path in ("metadata.labels", "metadata.annotations"):
        entries = metadata.labels if path == "metadata.labels" else metadata.annotations
        return "\n".join(f"{key}={_quoted(value)}" for key, value in sorted(entries.items()))
    raise ConfigProblem(f"unsupported fieldPath: {path}")


def resource_value(
    pod: Pod, reference: ResourceFieldRef, around: Surroundings, container: Container | None = None
) -> str:
    """Return the value of a `resourceFieldRef`, rounded up to its divisor. An unset limit is the node's allocatable.

    Raises:
        ConfigProblem: no such container or resource.
    """
    if reference.container_name:
        containers = (*pod.spec.containers, *pod.spec.init_containers)
        container = next((c for c in containers if c.name == reference.container_name), None)
    if container is None:
        raise ConfigProblem(f"container {reference.container_name} not found")
    kind, _, name = reference.resource.partition(".")
    if kind == "limits":
        found = container.resources.limits.get(name)
        value = around.allocatable.get(name) if found is None else quantities.parse(str(found))
    elif kind == "requests":
        found = container.resources.requests.get(name, container.resources.limits.get(name, "0"))
        value = quantities.parse(str(found))
    else:
        value = None
    if value is None:
        raise ConfigProblem(f"unsupported container resource : {reference.resource}")
    divisor = quantities.parse(str(reference.divisor)) or Decimal(1)
    # As digits: `str` of a Decimal may be 1E+3.
    return f"{(value / divisor).to_integral_value(ROUND_CEILING):f}"


def _quoted(value: str) -> str:
    """Quote as Go's %q does, which the kubelet uses for labels."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escaped}"'
