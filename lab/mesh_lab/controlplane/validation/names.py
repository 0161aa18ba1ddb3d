"""Names within resources: hosts, namespaces, gateways, labels, and `exportTo`. Istio's rules."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

from mesh_lab.controlplane.validation.common import Problem, error, warning

_LONGEST_NAME, _LONGEST_LABEL = 255, 63
_LABEL = re.compile(r"[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?")
_QUALIFIED = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL_KEY = re.compile(rf"({_LABEL.pattern}(\.{_LABEL.pattern})*/)?{_QUALIFIED}")
_LABEL_VALUE = re.compile(rf"({_QUALIFIED})?")
_HEADER = re.compile(r"[-!#$%&'*+.^_`|~0-9A-Za-z]+")
_PSEUDO_HEADERS = frozenset({":method", ":scheme", ":authority", ":path", ":status"})
_CLAIM = re.compile(r"@request\.auth\.claims(\..+|\[.+\])", re.IGNORECASE)
UNIX = "unix://"
HTTP_PROTOCOLS = frozenset({"HTTP", "HTTP2", "HTTP_PROXY", "GRPC", "GRPC-WEB"})
TLS_PROTOCOLS = frozenset({"HTTPS", "TLS"})
PROTOCOLS = HTTP_PROTOCOLS | TLS_PROTOCOLS | {"TCP", "UDP", "MONGO", "MYSQL", "REDIS"}


def is_label(text: str) -> bool:
    """Whether a text is one label of a domain name (RFC 1123)."""
    return len(text) <= _LONGEST_LABEL and _LABEL.fullmatch(text) is not None


def is_address(text: str) -> bool:
    """Whether a text is an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def host_name(path: str, host: str, *, address: bool = False) -> Iterator[Problem]:
    """A host, or a wildcard for all that end alike; where it may be one, an IP address."""
    if address and is_address(host):
        return
    if not host:
        yield error(path, "empty domain name not allowed")
    elif len(host) > _LONGEST_NAME:
        yield error(path, f'domain name "{host}" too long (max {_LONGEST_NAME})')
    elif (wrong := _wrong_label(host)) is not None:
        yield error(path, f'domain name "{host}" invalid ({wrong})')


def fqdn(path: str, host: str) -> Iterator[Problem]:
    """The name of one host: no wildcard, and no number where its top level domain should be."""
    if "*" in host:
        yield error(path, f'domain name "{host}" invalid (a wildcard names no host)')
    elif host.rpartition(".")[2].isdecimal():
        yield error(path, f'domain name "{host}" invalid (its top level domain cannot be all-numeric)')
    else:
        yield from host_name(path, host)


def unix_socket(path: str, address: str) -> Iterator[Problem]:
    """A socket after `unix://`: the absolute path of a file, or an abstract name that starts with @."""
    where = address.removeprefix(UNIX)
    if not where.startswith("@") and (not where.startswith("/") or where.endswith("/")):
        yield error(path, f'"{address}" is not the absolute path of a file')


def port_name(path: str, name: str) -> Iterator[Problem]:
    """The name of a port: one label of a domain name."""
    if not is_label(name):
        yield error(path, f'invalid port name: "{name}"')


def protocol(path: str, name: str) -> Iterator[Problem]:
    """A protocol that Istio knows, in any case; none leaves it to the first bytes."""
    if name and name.upper() not in PROTOCOLS:
        yield error(path, f"unsupported protocol: {name}")


def _wrong_label(host: str) -> str | None:
    first, *rest = host.split(".")
    if first != "*" and not is_label(first):
        wildcard = ": a wildcard stands for whole labels here, as in *.example" if first.startswith("*") else ""
        return f'label "{first}" invalid{wildcard}'
    if rest and rest[-1] == "":
        rest.pop()
    if rest and rest[-1].isdecimal():
        return f'top level domain "{rest[-1]}" cannot be all-numeric'
    return next((f'label "{label}" invalid' for label in rest if not is_label(label)), None)


def overlap(hosts: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Pairs of hosts that overlap: equal ones, or one under the other's wildcard."""
    return ((one, other) for one, other in combinations(hosts, 2) if _matches(one, other))


def _matches(one: str, other: str) -> bool:
    wide, narrow = (one, other) if len(one) <= len(other) else (other, one)
    if not one.startswith("*") and not other.startswith("*"):
        return one == other
    if one.startswith("*") and other.startswith("*"):
        return narrow[1:].endswith(wide[1:])
    pattern, name = (one, other) if one.startswith("*") else (other, one)
    return name.endswith(pattern[1:])


def scoped_host(path: str, host: str, *, gateway: bool) -> Iterator[Problem]:
    """A host of a Gateway or Sidecar: `NAMESPACE/HOST`, or (of a Gateway) the host by itself."""
    namespace, slash, name = host.partition("/")
    if not slash:
        if not gateway:
            yield error(path, f'"{host}" is not of the form namespace/dnsName')
            return
        namespace, name = "*", host
    if not namespace or not name:
        yield error(path, f'"{host}": config namespace and dnsName in host entry cannot be empty')
        return
    # A Sidecar excludes what stands behind a tilde: `~/HOST`, or `~NAMESPACE/HOST`.
    where = namespace if gateway or namespace == "~" else namespace.removeprefix("~")
    if where not in ("*", ".") and (gateway or where != "~") and not is_label(where):
        yield error(path, f"namespace {namespace!r} must be a namespace, '.' or '*'")
    if name != "*" and "." not in name and not is_address(name):
        yield error(path, f'"{host}": short names (non FQDN) are not allowed')
    yield from host_name(path, name, address=gateway)


def gateway_names(path: str, gateways: Sequence[str]) -> Iterator[Problem]:
    """Gateways that a VirtualService names: `NAME`, `NAMESPACE/NAME`, or `mesh`."""
    for index, gateway in enumerate(gateways):
        where = f"{path}[{index}]"
        namespace, slash, name = gateway.partition("/")
        if not slash:
            if "." in gateway:
                yield warning(where, f'using legacy gatewayName format "{gateway}"; prefer <namespace>/<name>')
            yield from host_name(where, gateway)
        elif not namespace or not name:
            yield error(where, "config namespace and gateway name cannot be empty")
        elif not is_label(namespace):
            yield error(where, f'invalid value for namespace: "{namespace}"')
        elif not is_label(name):
            yield error(where, f'invalid value for gateway name: "{name}"')


def export_to(path: str, entries: Sequence[str], *, nobody: bool = False) -> Iterator[Problem]:
    """Namespaces that see a resource: `.`, `*` or names; where `nobody` is allowed, `~` by itself."""
    seen: set[str] = set()
    for index, entry in enumerate(entries):
        where = f"{path}[{index}]"
        if entry in seen:
            yield error(where, f"duplicate entries in exportTo for entry {entry}")
        seen.add(entry)
        if entry == "~" and nobody:
            if len(entries) > 1:
                yield error(path, "cannot export service entry to no one (~) and someone")
        elif entry == "~":
            yield error(where, "exportTo ~ (none) is not allowed for Istio configuration objects")
        elif entry not in (".", "*") and not is_label(entry):
            yield error(where, "only .,*, or a valid DNS 1123 label is allowed as exportTo entry")
    if "*" in seen and len(seen) > 1:
        yield error(path, "cannot have both public (*) and non-public exportTo values for a resource")


def labels(path: str, given: Mapping[str, str]) -> Iterator[Problem]:
    """Labels by which pods are selected."""
    for key, value in given.items():
        prefix, slash, name = key.rpartition("/")
        if _LABEL_KEY.fullmatch(key) is None or len(name) > _LONGEST_LABEL or (slash and len(prefix) >= _LONGEST_NAME):
            yield error(f"{path}[{key}]", f'invalid tag key: "{key}"')
        if _LABEL_VALUE.fullmatch(value) is None:
            yield error(f"{path}[{key}]", f'invalid tag value: "{value}"')


def workload_labels(path: str, given: Mapping[str, str]) -> Iterator[Problem]:
    """The labels of a workload selector: each of a name, and no wildcards."""
    for key, value in given.items():
        if not key:
            yield error(path, f'empty key is not supported in selector: "{key}={value}"')
        if "*" in key + value:
            yield error(path, f'wildcard is not supported in selector: "{key}={value}"')
    if not given:
        yield warning(path, "workload selector specified without labels")


def is_claim(name: str) -> bool:
    """Whether a header's name stands for a claim of a token, as `@request.auth.claims.NAME` or `...claims[NAME]`."""
    return _CLAIM.fullmatch(name) is not None


def header_name(path: str, name: str) -> Iterator[Problem]:
    """A header that is matched on (RFC 9110), or one of HTTP/2's own."""
    if not name:
        yield error(path, "header name cannot be empty")
    elif name not in _PSEUDO_HEADERS and _HEADER.fullmatch(name) is None:
        yield error(path, f"header name {name} is not a valid header name")
