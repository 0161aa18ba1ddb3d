"""Hosts as Istio's resources write them: short names, wildcards, and which of them covers which."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar

MESH = "mesh"
"""The gateway that stands for all sidecars."""

T = TypeVar("T")


def resolve(host: str, namespace: str, domain: str) -> str:
    """A host without a dot is a service of the resource's own namespace; anything else is taken as it stands.

    In lower case, since Envoy compares hosts so, and rejects two that differ in nothing else.
    """
    host = host.lower()
    if "." in host or host.startswith("*") or not host:
        return host
    return f"{host}.{namespace}.svc.{domain}"


def gateway_name(name: str, owner: str) -> str:
    """A gateway as `namespace/name`, where `owner` is the namespace of the resource that names it; `mesh` stays.

    A dot is of Istio's older form, `name.namespace` or `name.namespace.svc.cluster.local`: as in resolveGatewayName,
    the second part is the namespace, whatever follows.
    """
    if name == MESH or "/" in name:
        return name
    plain, dot, rest = name.partition(".")
    return f"{rest.partition('.')[0]}/{plain}" if dot else f"{owner}/{name}"


def covers(pattern: str, host: str) -> bool:
    """Whether a host, which may itself be a wildcard, falls under a pattern: `*`, `*.example.com` or a plain host."""
    if pattern == host or pattern == "*":
        return True
    if not pattern.startswith("*"):
        return False
    return host.removeprefix("*").endswith(pattern[1:]) and len(host) > len(pattern) - 1


def intersection(one: str, other: str) -> str | None:
    """The narrower of two patterns when it falls under the other; None when they have no host in common."""
    if covers(one, other):
        return other
    return one if covers(other, one) else None


class HostIndex(Generic[T]):
    """A table by host patterns: the host itself comes first, then the longest wildcard that covers it."""

    def __init__(self, by_pattern: Mapping[str, T]) -> None:
        self.exact = {pattern: value for pattern, value in by_pattern.items() if not pattern.startswith("*")}
        wild = [(pattern, value) for pattern, value in by_pattern.items() if pattern.startswith("*")]
        self._wild = sorted(wild, key=lambda item: -len(item[0]))

    def items(self) -> Iterator[tuple[str, T]]:
        """All patterns: plain hosts first, then wildcards from the longest on."""
        yield from self.exact.items()
        yield from self._wild

    def find(self, host: str) -> T | None:
        """The value for a host; None when no pattern covers it."""
        found = self.exact.get(host)
        if found is not None:
            return found
        return next((value for pattern, value in self._wild if covers(pattern, host)), None)


def service_domains(
    hostname: str, namespace: str, from_namespace: str, domain: str, *, pods: bool = False
) -> list[str]:
    """The names in a Host header (ports aside) that mean a cluster's service when sent from a namespace.

    `pods` is for a headless service, whose pods have names of their own before the service's.
    """
    names = [hostname, f"{hostname}."]
    suffix = f".{namespace}.svc.{domain}"
    if hostname.endswith(suffix):
        name = hostname.removesuffix(suffix)
        short = [name] if namespace == from_namespace else []
        names += [*short, f"{name}.{namespace}", f"{name}.{namespace}.svc"]
    if pods:
        names += [f"*.{name}" for name in names]
    return names
