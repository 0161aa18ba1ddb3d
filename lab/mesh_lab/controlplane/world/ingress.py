"""What the control plane reads of Kubernetes' Ingresses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

CLASS_ANNOTATION = "kubernetes.io/ingress.class"


class Backend(NamedTuple):
    """A Service, and the number of its port or the port's name."""

    service: str
    port: int | str


class Path(NamedTuple):
    """Where requests for a host and a path go. An empty host stands for all; the default backend has no `kind`."""

    host: str
    kind: str
    path: str
    backend: Backend


class Certificate(NamedTuple):
    """The Secret of some hosts' TLS."""

    secret: str
    hosts: tuple[str, ...]


@dataclass(frozen=True)
class IngressSpec:
    """An Ingress, apart from its name. `annotated` is the class by the older annotation; None where it has none."""

    created: str
    class_name: str
    annotated: str | None
    paths: tuple[Path, ...]
    certificates: tuple[Certificate, ...]


def read(obj: Mapping[str, Any]) -> IngressSpec:
    """The view of an Ingress. Backends that are no Service are left out, as by Istio."""
    meta, spec = obj["metadata"], obj.get("spec") or {}
    return IngressSpec(
        meta.get("creationTimestamp") or "",
        spec.get("ingressClassName") or "",
        (meta.get("annotations") or {}).get(CLASS_ANNOTATION),
        tuple(_paths(spec)),
        tuple(
            Certificate(each["secretName"], tuple(each.get("hosts") or ("*",)))
            for each in spec.get("tls") or ()
            if each.get("secretName")
        ),
    )


def _paths(spec: Mapping[str, Any]) -> Iterator[Path]:
    for rule in spec.get("rules") or ():
        for each in (rule.get("http") or {}).get("paths") or ():
            backend = _backend(each.get("backend"))
            if backend is not None:
                yield Path(rule.get("host") or "", each.get("pathType") or "", each.get("path") or "", backend)
    default = _backend(spec.get("defaultBackend"))
    if default is not None:
        yield Path("", "", "", default)


def _backend(backend: Mapping[str, Any] | None) -> Backend | None:
    service = (backend or {}).get("service")
    if not service:
        return None
    port = service.get("port") or {}
    return Backend(service["name"], port.get("number") or port.get("name") or 0)
