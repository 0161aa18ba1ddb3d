"""Rules for PeerAuthentication and AuthorizationPolicy."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from mesh_lab.controlplane.model import AuthorizationPolicy, PeerAuthentication
from mesh_lab.controlplane.model.base import Spec
from mesh_lab.controlplane.model.security import Rule, Source
from mesh_lab.controlplane.validation.common import (
    Problem,
    camel,
    cidr,
    error,
    is_port,
    port_number,
    warning,
    workload_selector,
)
from mesh_lab.controlplane.validation.selection import selection

AUDITED = "metadata.filter_metadata['envoy.common']['access_log_hint'] == true"
"""What holds of a request that a policy marks with AUDIT, as a Telemetry's filter says it (CEL)."""

_KNOWN_KEY = re.compile(
    r"request\.headers\[[^\0\r\n]+\]|request\.auth\.(principal|audiences|presenter|claims\[.+\])"
    r"|source\.(ip|namespace|principal|serviceAccount|trustDomain)|remote\.ip|destination\.(ip|port)|connection\.sni"
    r"|experimental\.envoy\.filters\.[^\[]+\[.+\]"
)
_SERVICE_ACCOUNT = re.compile(r"[^/]+(/[^/]+)?")
_TEMPLATES = ("{*}", "{**}")
_LITERAL = re.compile(r"^[a-zA-Z0-9-._~%!$&'()+,;:@=]+$")  # of a path beside templates, as Envoy takes it

RULES = "spec.rules"
_ALL_OF_TCP = (
    "configured AuthorizationPolicy will deny all traffic to TCP ports under its scope due to the use of only HTTP "
    "attributes in a DENY rule; it is recommended to explicitly specify the port"
)
_TCP_FIELDS = tuple(
    f"{no}{name}"
    for name in ("principals", "namespaces", "service_accounts", "ip_blocks", "remote_ip_blocks")
    for no in ("", "not_")
)

# An authoriser outside the mesh knows the client only by the request: Istio takes no such rules with CUSTOM.
_NOT_CUSTOM_FIELDS = ("namespaces", "service_accounts", "trust_domains", "principals", "request_principals")
_NOT_CUSTOM_KEYS = ("source.namespace", "source.serviceAccount", "source.trustDomain", "source.principal")


def peer_authentication(spec: PeerAuthentication) -> Iterator[Problem]:
    """Problems of a PeerAuthentication."""
    yield from workload_selector(spec.selector)
    if spec.port_level_mtls and not (spec.selector and spec.selector.match_labels):
        yield error("spec.portLevelMtls", "port level mTLS requires a workload selector")
    for port in spec.port_level_mtls:
        if not is_port(port):
            yield error(f"spec.portLevelMtls[{port}]", f"port {port!r} must be a number from 1 to 65535")


_TRUE = ("1", "t", "T", "TRUE", "true", "True")
_FALSE = ("0", "f", "F", "FALSE", "false", "False")


def is_dry_run(annotation: str | None) -> bool:
    """What the annotation `istio.io/dry-run` says, in Go's words for yes; anything else leaves a policy enforced."""
    return annotation in _TRUE


def is_unclear(annotation: str | None) -> bool:
    """Whether the annotation `istio.io/dry-run` says neither yes nor no."""
    return annotation is not None and annotation not in (*_TRUE, *_FALSE)


def authorization_policy(spec: AuthorizationPolicy) -> Iterator[Problem]:
    """Problems of an AuthorizationPolicy."""
    yield from selection(spec.selector, spec.target_ref, spec.target_refs)
    yield from _action(spec)
    for index, rule in enumerate(spec.rules):
        yield from rule_problems(f"spec.rules[{index}]", rule, spec.action)


def _action(spec: AuthorizationPolicy) -> Iterator[Problem]:
    if spec.action == "CUSTOM":
        name = spec.provider.name if spec.provider is not None else ""
        if not name:
            yield error("spec.provider", "provider.name must not be empty")
    elif spec.provider is not None:
        yield error("spec.provider", f"provider must not be set with action {spec.action}")
    if spec.action == "AUDIT":
        text = (
            "AUDIT only marks what its rules match; a Telemetry logs by the mark, with this filter of its accessLogging"
        )
        yield warning("spec.action", f"{text}: {AUDITED}")
    if spec.action in ("DENY", "CUSTOM") and not spec.rules:
        text = "is meaningless as it will never be triggered, add an empty rule {} for every request"
        yield error(RULES, f"{spec.action} action without rules {text}")


def rule_problems(path: str, rule: Rule, action: str) -> Iterator[Problem]:
    """Problems of one rule of an AuthorizationPolicy."""
    for name, given in (("from", rule.from_), ("to", rule.to)):
        if given == []:
            yield error(f"{path}.{name}", f"{name} must not be empty: without it, the rule holds for all")
    for index, entry in enumerate(rule.from_ or ()):
        where = f"{path}.from[{index}].source"
        if entry.source is None:
            yield error(f"{path}.from[{index}]", "from.source must be set")
            continue
        yield from _lists(where, "from.source", entry.source)
        yield from _source(where, entry.source)
        if action == "CUSTOM":
            yield from _not_custom(where, entry.source)
    for index, operation in enumerate(rule.to or ()):
        where = f"{path}.to[{index}].operation"
        if operation.operation is None:
            yield error(f"{path}.to[{index}]", "to.operation must be set")
            continue
        yield from _lists(where, "to.operation", operation.operation)
        for name in ("ports", "not_ports"):
            for value in getattr(operation.operation, name):
                yield from port_number(f"{where}.{camel(name)}", value)
        for name in ("paths", "not_paths"):
            for value in getattr(operation.operation, name):
                yield from _path_template(f"{where}.{camel(name)}", value)
    yield from _conditions(path, rule, action)
    if action == "DENY" and _says_nothing_of_tcp(rule):
        yield warning(path, _ALL_OF_TCP)


def _says_nothing_of_tcp(rule: Rule) -> bool:
    """Whether the sources, or the operations, have HTTP's attributes only."""
    sources = [entry.source for entry in rule.from_ or () if entry.source is not None]
    operations = [entry.operation for entry in rule.to or () if entry.operation is not None]
    if operations:
        return not any(each.ports or each.not_ports for each in operations)
    return bool(sources) and not any(getattr(each, name) for each in sources for name in _TCP_FIELDS)


def _conditions(path: str, rule: Rule, action: str) -> Iterator[Problem]:
    for index, condition in enumerate(rule.when):
        where, key = f"{path}.when[{index}]", condition.key
        if not condition.values and not condition.not_values:
            yield error(where, f"at least one of values or notValues must be set for key {key}")
        checker = _CHECKERS.get(key)
        for value in (*condition.values, *condition.not_values):
            if not value:
                yield error(where, f"empty value not allowed for key {key}")
            elif checker is not None:
                yield from checker(where, value)
        if not _KNOWN_KEY.fullmatch(key):
            yield error(f"{where}.key", f"unknown attribute: {key}")
        elif action == "CUSTOM" and (key in _NOT_CUSTOM_KEYS or key.startswith("request.auth.")):
            yield error(f"{where}.key", f"{key} is currently not supported with CUSTOM action")


def _not_custom(path: str, source: Source) -> Iterator[Problem]:
    for field in _NOT_CUSTOM_FIELDS:
        for name in (field, f"not_{field}"):
            if getattr(source, name):
                yield error(f"{path}.{camel(name)}", f"From.{camel(name)} is not supported with CUSTOM action")


def _lists(path: str, what: str, spec: Spec) -> Iterator[Problem]:
    """An empty part would hold for all clients, and so would an empty value."""
    given = {name: getattr(spec, name) for name in spec.__struct_fields__}
    if not any(given.values()):
        yield error(path, f"{what} must not be empty: an empty rule, {{}}, holds for everybody")
    for name, values in given.items():
        if "" in values:
            yield error(f"{path}.{camel(name)}", "empty value not allowed")


def _source(path: str, source: Source) -> Iterator[Problem]:
    for name in ("ip_blocks", "not_ip_blocks", "remote_ip_blocks", "not_remote_ip_blocks"):
        for value in getattr(source, name):
            yield from cidr(f"{path}.{camel(name)}", value)
    for name in ("service_accounts", "not_service_accounts"):
        for value in getattr(source, name):
            yield from _service_account(f"{path}.{camel(name)}", value)
    for name in ("trust_domains", "not_trust_domains"):
        for value in getattr(source, name):
            yield from _trust_domain(f"{path}.{camel(name)}", value)
    accounts = source.service_accounts or source.not_service_accounts
    if accounts and (source.principals or source.not_principals or source.namespaces or source.not_namespaces):
        yield error(path, "cannot set serviceAccounts with namespaces or principals")


def _service_account(path: str, value: str) -> Iterator[Problem]:
    if "*" in value:
        yield error(path, f'wildcard not allowed: "{value}"')
    elif value and not _SERVICE_ACCOUNT.fullmatch(value):
        yield error(path, f'expected format "serviceAccount" or "namespace/serviceAccount", found "{value}"')


def _trust_domain(path: str, value: str) -> Iterator[Problem]:
    if "/" in value:
        yield error(path, f'trust domain must not contain "/": "{value}"')
    elif "*" in value[1:-1] or value.count("*") > 1:
        yield error(path, f'wildcard is only allowed once, at the start or end: "{value}"')


def _path_template(path: str, value: str) -> Iterator[Problem]:
    """`{*}` and `{**}` stand for whole segments, and nothing that varies comes after `{**}`."""
    segments = value.strip("/").split("/")
    templates = [segment for segment in segments if segment in _TEMPLATES]
    for segment in segments:
        if segment not in _TEMPLATES and (
            set(segment) & {"{", "}"} or (templates and segment and not _LITERAL.match(segment))
        ):
            yield error(path, f'invalid or unsupported path "{value}": {{*}} and {{**}} stand for whole segments')
            return
    if "{**}" in templates[:-1]:
        yield error(path, f'invalid or unsupported path "{value}": {{**}} is not the last operator')


_CHECKERS: Mapping[str, Callable[[str, str], Iterator[Problem]]] = {
    "source.ip": cidr,
    "remote.ip": cidr,
    "destination.ip": cidr,
    "destination.port": port_number,
    "source.serviceAccount": _service_account,
    "source.trustDomain": _trust_domain,
}
