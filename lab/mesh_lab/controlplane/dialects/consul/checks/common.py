"""Rules that several of Consul's kinds share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from mesh_lab.controlplane.dialects.consul.kinds.common import HeaderMatch, HTTPHeaderModifiers
from mesh_lab.controlplane.validation.commands import commands
from mesh_lab.controlplane.validation.common import Problem, camel, error, regex, warning

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE"})
_ELSEWHERE: Mapping[str, str] = {
    "partition": "admin partitions",
    "peer": "peered clusters",
    "datacenter": "other datacenters",
    "datacenters": "other datacenters",
    "sameness_group": "sameness groups",
}
_GATEWAY_MODES = ("", "none", "local", "remote")


def elsewhere(path: str, place: Any) -> Iterator[Problem]:
    """What leads out of the one cluster that there is."""
    for name, what in _ELSEWHERE.items():
        if getattr(place, name, None):
            yield error(f"{path}.{camel(name)}", f"the lab is one cluster: it has no {what}")


def without_effect(path: str, spec: Any, fields: Iterable[str]) -> Iterator[Problem]:
    """Fields that are known and not carried out, where that takes nothing away that was to keep anyone out."""
    for name in fields:
        if getattr(spec, name):
            yield warning(f"{path}.{_written(spec, name)}", "has no effect in this lab")


def _written(spec: Any, name: str) -> str:
    fields: dict[str, str] = dict(zip(spec.__struct_fields__, spec.__struct_encode_fields__, strict=True))
    return fields[name]


def mesh_gateway(path: str, mode: str) -> Iterator[Problem]:
    """The mode of mesh gateways, of which the lab has none."""
    if mode not in _GATEWAY_MODES:
        yield error(f"{path}.mode", f'must be one of "remote", "local", "none" or "", not "{mode}"')
    elif mode in ("local", "remote"):
        yield warning(f"{path}.mode", "has no effect in this lab: it has no mesh gateways")


def paths(path: str, http: Any) -> Iterator[Problem]:
    """At most one path; a plain one begins with a slash."""
    if sum(1 for value in (http.path_exact, http.path_prefix, http.path_regex) if value) > 1:
        yield error(path, "at most only one of pathExact, pathPrefix, or pathRegex may be configured")
    for name in ("path_exact", "path_prefix"):
        value = getattr(http, name)
        if value and not value.startswith("/"):
            yield error(f"{path}.{camel(name)}", "must begin with a '/'")
    if http.path_regex:
        yield from regex(f"{path}.pathRegex", http.path_regex)


def methods(path: str, names: list[str]) -> Iterator[Problem]:
    """Methods by their names, once each."""
    for index, name in enumerate(names):
        if name not in METHODS:
            yield error(f"{path}.methods[{index}]", f'"{name}" is not a valid HTTP method')
        elif name in names[:index]:
            yield error(f"{path}.methods[{index}]", f'method "{name}" is listed more than once')


def header(path: str, each: HeaderMatch, tests: tuple[str, ...]) -> Iterator[Problem]:
    """Exactly one test of a header."""
    if sum(1 for name in tests if getattr(each, name)) != 1:
        yield error(path, f"exactly one of {', '.join(tests[:-1])}, or {tests[-1]} must be configured")
    if each.regex:
        yield from regex(f"{path}.regex", each.regex)


def modifiers(path: str, changes: HTTPHeaderModifiers | None) -> Iterator[Problem]:
    """Pseudo-headers are the path's and the host's own fields' to change."""
    if changes is None:
        return
    for field in ("add", "set", "remove"):
        for name in getattr(changes, field):
            if name.startswith(":") or name.lower() == "host":
                yield error(f"{path}.{field}", f'header "{name}" cannot be changed')
    for field, values in (("add", changes.add), ("set", changes.set)):
        for name, value in values.items():
            yield from commands(f"{path}.{field}[{name}]", value)
