"""Rules of ServiceIntentions: those of consul-k8s' webhook and of Consul's servers."""

from __future__ import annotations

from collections.abc import Iterator

from mesh_lab.controlplane.dialects.consul.checks.common import elsewhere, header, methods, paths
from mesh_lab.controlplane.dialects.consul.kinds import ServiceIntentions
from mesh_lab.controlplane.dialects.consul.kinds.intentions import IntentionPermission, SourceIntention
from mesh_lab.controlplane.validation.common import Problem, error

_TESTS = ("exact", "prefix", "suffix", "contains", "regex", "present")
_ANY = "*"
_NO_TOKENS = "this lab takes no JWT requirements in intentions; Istio's RequestAuthentication checks tokens"


def service_intentions(spec: ServiceIntentions) -> Iterator[Problem]:
    """All problems of a ServiceIntentions."""
    if not spec.destination.name:
        yield error("spec.destination.name", "is required")
    yield from _wildcards("spec.destination", spec.destination.name, spec.destination.namespace)
    if not spec.sources:
        yield error("spec.sources", "at least one source must be specified")
    if spec.jwt is not None:
        yield error("spec.jwt", _NO_TOKENS)
    met: set[tuple[str, str]] = set()
    for index, source in enumerate(spec.sources):
        path = f"spec.sources[{index}]"
        yield from _source(path, source)
        if (source.namespace, source.name) in met:
            yield error(path, f'the source "{source.name}" occurs more than once')
        met.add((source.namespace, source.name))


def _wildcards(path: str, name: str, namespace: str) -> Iterator[Problem]:
    for field, value in (("name", name), ("namespace", namespace)):
        if _ANY in value and value != _ANY:
            yield error(f"{path}.{field}", "wildcard character '*' cannot be used with partial values")
    if namespace == _ANY and name != _ANY:
        yield error(f"{path}.name", "an exact name cannot follow a wildcard namespace")


def _source(path: str, source: SourceIntention) -> Iterator[Problem]:
    if not source.name:
        yield error(f"{path}.name", "is required")
    yield from _wildcards(path, source.name, source.namespace)
    yield from elsewhere(path, source)
    if source.action and source.permissions:
        text = "action and permissions are mutually exclusive and only one of them can be specified"
        yield error(path, text)
    elif not (source.action or source.permissions):
        yield error(f"{path}.action", 'must be one of "allow" or "deny"')
    for index, permission in enumerate(source.permissions):
        yield from _permission(f"{path}.permissions[{index}]", permission)


def _permission(path: str, permission: IntentionPermission) -> Iterator[Problem]:
    if not permission.action:
        yield error(f"{path}.action", 'must be one of "allow" or "deny"')
    if permission.jwt is not None:
        yield error(f"{path}.jwt", _NO_TOKENS)
    http = permission.http
    if http is None:
        if permission.jwt is None:
            yield error(f"{path}.http", "is required")
        return
    yield from paths(f"{path}.http", http)
    yield from methods(f"{path}.http", http.methods)
    for index, each in enumerate(http.header):
        where = f"{path}.http.header[{index}]"
        yield from header(where, each, _TESTS)
        if each.ignore_case and (each.present or each.regex):
            yield error(f"{where}.ignoreCase", "should only be set with exact, prefix, suffix, or contains")
    if not (http.path_exact or http.path_prefix or http.path_regex or http.header or http.methods):
        yield error(f"{path}.http", "should not be empty")
