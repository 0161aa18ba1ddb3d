"""Rules for PeerAuthentication and AuthorizationPolicy."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from lab.controlplane.model import AuthorizationPolicy, PeerAuthentication
from lab.controlplane.model.base import Spec
from lab.controlplane.model.security import Rule, Source
from lab.controlplane.validation.common import Problem, camel, cidr, error, port_number, warning

_KNOWN_KEY = re.compile(
    r"^(request\.headers\[.+\]|source\.(ip|namespace|principal|serviceAccount)|remote\.ip|destination\.(ip|port)"
    r"|connection\.sni)$"
)
_SERVICE_ACCOUNT = re.compile(r"^[^/]+(/[^/]+)?$")
_TEMPLATES = ("{*}", "{**}")
_LITERAL = re.compile(r"^[a-zA-Z0-9-._~%!$&'()+,;:@=]+$")  # of a path beside templates, as Envoy takes it


def peer_authentication(spec: PeerAuthentication) -> Iterator[Problem]:
    """Problems of a PeerAuthentication."""
    if spec.port_level_mtls and not (spec.selector and spec.selector.match_labels):
        yield error("spec.portLevelMtls", "port level mTLS requires a workload selector")
    for port in spec.port_level_mtls:
        if not (port.isdigit() and 1 <= int(port) <= 65535):
            yield error(f"spec.portLevelMtls[{port}]", f"port {port!r} must be a number from 1 to 65535")


def authorization_policy(spec: AuthorizationPolicy) -> Iterator[Problem]:
    """Problems of an AuthorizationPolicy."""
    if spec.action == "CUSTOM":
        yield error("spec.action", "CUSTOM needs an authoriser outside the mesh, which this control plane does not ask")
    if spec.action == "AUDIT":
        yield warning("spec.action", "AUDIT has no effect with this control plane")
    if spec.target_ref is not None or spec.target_refs:
        yield warning("spec.targetRefs", "targetRefs have no effect with this control plane: use a selector")
    if spec.provider is not None and spec.action != "CUSTOM":
        yield error("spec.provider", f"provider must not be set with action {spec.action}")
    if spec.action == "DENY" and not spec.rules:
        yield warning("spec.rules", "a DENY policy without rules denies nothing")
    for index, rule in enumerate(spec.rules):
        yield from _rule(f"spec.rules[{index}]", rule)


def _rule(path: str, rule: Rule) -> Iterator[Problem]:
    for index, entry in enumerate(rule.from_):
        where = f"{path}.from[{index}].source"
        if entry.source is None:
            yield error(f"{path}.from[{index}]", "from.source must be set")
            continue
        yield from _lists(where, "from.source", entry.source)
        yield from _source(where, entry.source)
    for index, operation in enumerate(rule.to):
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
    for index, condition in enumerate(rule.when):
        where = f"{path}.when[{index}]"
        if not condition.values and not condition.not_values:
            yield error(where, f"at least one of values or notValues must be set for key {condition.key}")
        checker = _CHECKERS.get(condition.key)
        for value in (*condition.values, *condition.not_values):
            if not value:
                yield error(where, f"empty value not allowed for key {condition.key}")
            elif checker is not None:
                yield from checker(where, value)
        if condition.key.startswith("request.auth."):
            yield warning(f"{where}.key", "tokens of end users are not checked: the attribute never has a value")
        elif not _KNOWN_KEY.match(condition.key):
            yield error(f"{where}.key", f"unknown attribute: {condition.key}")


def _lists(path: str, what: str, spec: Spec) -> Iterator[Problem]:
    """A part that says nothing would hold for everybody, and so would an empty value."""
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
    accounts = source.service_accounts or source.not_service_accounts
    if accounts and (source.principals or source.not_principals or source.namespaces or source.not_namespaces):
        yield error(path, "cannot set serviceAccounts with namespaces or principals")
    if source.request_principals or source.not_request_principals:
        yield warning(path, "tokens of end users are not checked: no request has a request principal")


def _service_account(path: str, value: str) -> Iterator[Problem]:
    if "*" in value:
        yield error(path, f'wildcard not allowed: "{value}"')
    elif value and not _SERVICE_ACCOUNT.match(value):
        yield error(path, f'expected format "serviceAccount" or "namespace/serviceAccount", found "{value}"')


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
}
