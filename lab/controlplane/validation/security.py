"""Rules for PeerAuthentication and AuthorizationPolicy."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lab.controlplane.model import AuthorizationPolicy, PeerAuthentication
from lab.controlplane.model.security import Rule
from lab.controlplane.validation.common import Problem, camel, cidr, error, port_number, warning

_KNOWN_KEY = re.compile(
    r"^(request\.headers\[.+\]|source\.(ip|namespace|principal|serviceAccount)|remote\.ip|destination\.(ip|port)"
    r"|connection\.sni)$"
)


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
        for name in ("ip_blocks", "not_ip_blocks", "remote_ip_blocks", "not_remote_ip_blocks"):
            for value in getattr(entry.source, name):
                yield from cidr(f"{where}.{camel(name)}", value)
        if entry.source.request_principals or entry.source.not_request_principals:
            yield warning(where, "tokens of end users are not checked: no request has a request principal")
    for index, operation in enumerate(rule.to):
        where = f"{path}.to[{index}].operation"
        if operation.operation is None:
            yield error(f"{path}.to[{index}]", "to.operation must be set")
            continue
        for name in ("ports", "not_ports"):
            for value in getattr(operation.operation, name):
                yield from port_number(f"{where}.{camel(name)}", value)
    for index, condition in enumerate(rule.when):
        where = f"{path}.when[{index}]"
        if not condition.values and not condition.not_values:
            yield error(where, f"at least one of values or notValues must be set for key {condition.key}")
        checker = {"source.ip": cidr, "remote.ip": cidr, "destination.ip": cidr, "destination.port": port_number}.get(
            condition.key
        )
        for value in (*condition.values, *condition.not_values):
            if checker is not None:
                yield from checker(where, value)
        if condition.key.startswith("request.auth."):
            yield warning(f"{where}.key", "tokens of end users are not checked: the attribute never has a value")
        elif not _KNOWN_KEY.match(condition.key):
            yield error(f"{where}.key", f"unknown attribute: {condition.key}")
