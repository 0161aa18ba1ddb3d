"""AuthorizationPolicy as Envoy's RBAC: DENY is asked first, then ALLOW; no ALLOW policy at all allows everything.

A rule that only HTTP can answer never allows a TCP connection; a DENY rule is asked there without that part, and so
denies more rather than less. https://istio.io/latest/docs/reference/config/security/authorization-policy/
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from envoy.config.core.v3.address_pb2 import CidrRange
from envoy.config.listener.v3.listener_components_pb2 import Filter
from envoy.config.rbac.v3.rbac_pb2 import RBAC, Permission, Policy, Principal
from envoy.config.route.v3.route_components_pb2 import HeaderMatcher
from envoy.extensions.filters.http.rbac.v3 import rbac_pb2 as http_rbac
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import HttpFilter
from envoy.extensions.filters.network.rbac.v3 import rbac_pb2 as network_rbac
from envoy.type.matcher.v3.path_pb2 import PathMatcher
from envoy.type.matcher.v3.regex_pb2 import RegexMatcher
from envoy.type.matcher.v3.string_pb2 import StringMatcher
from google.protobuf.any_pb2 import Any as AnyMessage

from lab.controlplane.kubernetes import Origin
from lab.controlplane.model import AuthorizationPolicy
from lab.controlplane.model.security import Condition, Operation, Rule, Source
from lab.controlplane.snapshot import Config
from lab.controlplane.xds.built import any_of
from lab.controlplane.xds.mtls import selects

AuthConfig = Config[AuthorizationPolicy]
Action = Literal["ALLOW", "DENY"]

# In the order in which they are asked.
_HTTP_FILTERS = {RBAC.DENY: "envoy.filters.http.rbac.deny", RBAC.ALLOW: "envoy.filters.http.rbac.allow"}


@dataclass(frozen=True)
class Authorization:
    """The policies that concern a workload, oldest first."""

    deny: tuple[AuthConfig, ...] = ()
    allow: tuple[AuthConfig, ...] = ()

    @property
    def origins(self) -> tuple[Origin, ...]:
        """Where they come from."""
        return tuple(config.origin for config in (*self.deny, *self.allow))


NOBODY_REFUSED = Authorization()


def authorization_of(
    configs: Iterable[AuthConfig], namespace: str, labels: tuple[tuple[str, str], ...], root_namespace: str
) -> Authorization:
    """Those of the workload's namespace and of the root namespace whose selector, if any, it meets."""
    mine = dict(labels)
    found = [
        config
        for config in sorted(configs, key=lambda c: c.precedence)
        if config.namespace in (namespace, root_namespace)
        and not (config.spec.target_ref or config.spec.target_refs)
        and (config.spec.selector is None or selects(config.spec.selector.match_labels, mine))
    ]
    return Authorization(
        tuple(config for config in found if config.spec.action == "DENY"),
        tuple(config for config in found if config.spec.action == "ALLOW"),
    )


def http_filters() -> list[HttpFilter]:
    """The filters of an HTTP chain. They are idle until the routes bring rules for them.

    For a change of routes is in force with the next request, whereas a change of the listener leaves the old rules to
    the connections that are there, until they have drained.
    """
    idle = any_of(http_rbac.RBAC())
    return [HttpFilter(name=name, typed_config=idle, disabled=True) for name in _HTTP_FILTERS.values()]


def route_filters(authorization: Authorization, trust_domain: str) -> dict[str, AnyMessage]:
    """The rules of the HTTP filters, by their names, to be put into a configuration of routes."""
    return {
        _HTTP_FILTERS[rules.action]: any_of(http_rbac.RBACPerRoute(rbac=http_rbac.RBAC(rules=rules)))
        for rules in _rules(authorization, trust_domain, tcp=False)
    }


def network_filters(authorization: Authorization, trust_domain: str) -> list[Filter]:
    """The filters of a TCP chain."""
    return [
        Filter(
            name="envoy.filters.network.rbac", typed_config=any_of(network_rbac.RBAC(rules=rules, stat_prefix="tcp."))
        )
        for rules in _rules(authorization, trust_domain, tcp=True)
    ]


def _rules(authorization: Authorization, trust_domain: str, *, tcp: bool) -> Iterator[RBAC]:
    if authorization.deny:
        policies = _policies(authorization.deny, "DENY", trust_domain, tcp=tcp)
        yield RBAC(action=RBAC.DENY, policies=policies)
    if authorization.allow:
        policies = _policies(authorization.allow, "ALLOW", trust_domain, tcp=tcp)
        yield RBAC(action=RBAC.ALLOW, policies=policies)


def _policies(configs: Iterable[AuthConfig], action: Action, trust_domain: str, *, tcp: bool) -> dict[str, Policy]:
    return {
        f"ns[{config.namespace}]-policy[{config.name}]-rule[{index}]": policy
        for config in configs
        for index, rule in enumerate(config.spec.rules)
        if (policy := _policy(rule, action, _Owner(trust_domain, config.namespace), tcp=tcp)) is not None
    }


class _Owner(NamedTuple):
    """What the values of a policy leave out: the mesh's trust domain, and the policy's own namespace."""

    trust_domain: str
    namespace: str


def _policy(rule: Rule, action: Action, owner: _Owner, *, tcp: bool) -> Policy | None:
    """One rule; None when it cannot hold for TCP."""
    if tcp and action == "ALLOW" and _needs_http(rule):
        return None
    conditions = [c for c in rule.when if not (tcp and c.key.startswith("request."))]
    who = [_principal_condition(c, owner) for c in conditions if c.key in _PRINCIPAL_KEYS]
    what = [_permission_condition(c) for c in conditions if c.key not in _PRINCIPAL_KEYS]
    sources = [entry.source for entry in rule.from_] or [None]
    operations = [entry.operation for entry in rule.to] or [None]
    return Policy(
        principals=[_all_ids([*_source(source, owner, tcp=tcp), *who]) for source in sources],
        permissions=[_all_rules([*_operation(operation, tcp=tcp), *what]) for operation in operations],
    )


def _needs_http(rule: Rule) -> bool:
    sources = [entry.source for entry in rule.from_ if entry.source is not None]
    operations = [entry.operation for entry in rule.to if entry.operation is not None]
    return (
        any(s.request_principals or s.not_request_principals for s in sources)
        or any(o.hosts or o.not_hosts or o.methods or o.not_methods or o.paths or o.not_paths for o in operations)
        or any(condition.key.startswith("request.") for condition in rule.when)
    )


def _all_ids(ids: Sequence[Principal]) -> Principal:
    return Principal(and_ids=Principal.Set(ids=ids)) if ids else Principal(any=True)


def _any_id(ids: Sequence[Principal]) -> Principal:
    return Principal(or_ids=Principal.Set(ids=ids))


def _all_rules(rules: Sequence[Permission]) -> Permission:
    return Permission(and_rules=Permission.Set(rules=rules)) if rules else Permission(any=True)


def _any_rule(rules: Sequence[Permission]) -> Permission:
    return Permission(or_rules=Permission.Set(rules=rules))


def _source(source: Source | None, owner: _Owner, *, tcp: bool) -> Iterator[Principal]:
    if source is None:
        return
    fields: tuple[tuple[list[str], list[str], Callable[[str], Principal], bool], ...] = (
        (source.principals, source.not_principals, _principal, False),
        (source.namespaces, source.not_namespaces, _namespace, False),
        (
            source.service_accounts,
            source.not_service_accounts,
            lambda value: _service_account(value, owner),
            False,
        ),
        (source.ip_blocks, source.not_ip_blocks, _direct_ip, False),
        (source.remote_ip_blocks, source.not_remote_ip_blocks, _remote_ip, False),
        (source.request_principals, source.not_request_principals, _request_principal, True),
    )
    for wanted, unwanted, make, needs_http in fields:
        if tcp and needs_http:
            continue
        if wanted:
            yield _any_id([make(value) for value in wanted])
        if unwanted:
            yield Principal(not_id=_any_id([make(value) for value in unwanted]))


def _operation(operation: Operation | None, *, tcp: bool) -> Iterator[Permission]:
    if operation is None:
        return
    fields: tuple[tuple[list[str], list[str], Callable[[str], Permission], bool], ...] = (
        (operation.hosts, operation.not_hosts, _host, True),
        (operation.methods, operation.not_methods, _method, True),
        (operation.paths, operation.not_paths, _path, True),
        (operation.ports, operation.not_ports, _port, False),
    )
    for wanted, unwanted, make, needs_http in fields:
        if tcp and needs_http:
            continue
        if wanted:
            yield _any_rule([make(value) for value in wanted])
        if unwanted:
            yield Permission(not_rule=_any_rule([make(value) for value in unwanted]))


def _matcher(value: str, *, ignore_case: bool = False) -> StringMatcher:
    """`*` is anything but nothing, `abc*` a prefix, `*abc` a suffix, and whatever else an exact value."""
    if value == "*":
        return StringMatcher(safe_regex=RegexMatcher(regex=".+"))
    if value.startswith("*"):
        return StringMatcher(suffix=value[1:], ignore_case=ignore_case)
    if value.endswith("*"):
        return StringMatcher(prefix=value[:-1], ignore_case=ignore_case)
    return StringMatcher(exact=value, ignore_case=ignore_case)


def _authenticated(matcher: StringMatcher) -> Principal:
    return Principal(authenticated=Principal.Authenticated(principal_name=matcher))


def _principal(value: str) -> Principal:
    """As Istio writes it, without `spiffe://`."""
    if value == "*" or value.startswith("*"):
        return _authenticated(StringMatcher(safe_regex=RegexMatcher(regex=f"spiffe://.*{re.escape(value[1:])}")))
    return _authenticated(_matcher(f"spiffe://{value}"))


def _namespace(value: str) -> Principal:
    pattern = ".*".join(re.escape(part) for part in value.split("*"))
    return _authenticated(StringMatcher(safe_regex=RegexMatcher(regex=f"spiffe://[^/]+/ns/{pattern}/.*")))


def _service_account(value: str, owner: _Owner) -> Principal:
    """As `namespace/name`, or as a name in the policy's own namespace."""
    namespace, _, name = value.rpartition("/")
    return _authenticated(
        StringMatcher(exact=f"spiffe://{owner.trust_domain}/ns/{namespace or owner.namespace}/sa/{name}")
    )


def _request_principal(_value: str) -> Principal:
    """Nobody: tokens of end users are not checked by this control plane, so no request carries such a principal."""
    return Principal(not_id=Principal(any=True))


def _cidr(value: str) -> CidrRange:
    prefix, _, length = value.partition("/")
    return CidrRange(address_prefix=prefix, prefix_len={"value": int(length) if length else _full_length(prefix)})


def _full_length(address: str) -> int:
    return 128 if ":" in address else 32


def _direct_ip(value: str) -> Principal:
    return Principal(direct_remote_ip=_cidr(value))


def _remote_ip(value: str) -> Principal:
    return Principal(remote_ip=_cidr(value))


def _header(name: str, value: str, *, ignore_case: bool = False) -> Permission:
    """`*` is a header that is there, be its value empty."""
    if value == "*":
        return Permission(header=HeaderMatcher(name=name, present_match=True))
    return Permission(header=HeaderMatcher(name=name, string_match=_matcher(value, ignore_case=ignore_case)))


def _host(value: str) -> Permission:
    return _header(":authority", value, ignore_case=True)


def _method(value: str) -> Permission:
    return _header(":method", value)


_TEMPLATE = re.compile(r"\{\*\*?\}")


def _path(value: str) -> Permission:
    """A path without its query; `{*}` stands for one segment, `{**}` for any number."""
    if _TEMPLATE.search(value):
        regex = re.escape(value).replace(r"\{\*\*\}", ".*").replace(r"\{\*\}", "[^/]+")
        matcher = StringMatcher(safe_regex=RegexMatcher(regex=regex))
    else:
        matcher = _matcher(value)
    return Permission(url_path=PathMatcher(path=matcher))


def _port(value: str) -> Permission:
    return Permission(destination_port=int(value))


_PRINCIPAL_KEYS: dict[str, Callable[[str, _Owner], Principal]] = {
    "source.ip": lambda value, _: _direct_ip(value),
    "remote.ip": lambda value, _: _remote_ip(value),
    "source.namespace": lambda value, _: _namespace(value),
    "source.principal": lambda value, _: _principal(value),
    "source.serviceAccount": _service_account,
}
_PERMISSION_KEYS: dict[str, Callable[[str], Permission]] = {
    "destination.ip": lambda value: Permission(destination_ip=_cidr(value)),
    "destination.port": _port,
    "connection.sni": lambda value: Permission(requested_server_name=_matcher(value)),
}
_HEADER_KEY = re.compile(r"^request\.headers\[(.+)\]$")


def knows_condition(key: str) -> bool:
    """Whether a condition on an attribute can be decided here."""
    return key in _PRINCIPAL_KEYS or key in _PERMISSION_KEYS or bool(_HEADER_KEY.match(key))


def _principal_condition(condition: Condition, owner: _Owner) -> Principal:
    make = _PRINCIPAL_KEYS[condition.key]
    parts = []
    if condition.values:
        parts.append(_any_id([make(value, owner) for value in condition.values]))
    if condition.not_values:
        parts.append(Principal(not_id=_any_id([make(value, owner) for value in condition.not_values])))
    return _all_ids(parts)


def _permission_condition(condition: Condition) -> Permission:
    """A condition on an attribute that is not known is one that has no value: it equals nothing."""
    make = _permission_maker(condition.key)
    parts = []
    if condition.values:
        parts.append(_any_rule([make(value) for value in condition.values]))
    if condition.not_values:
        parts.append(Permission(not_rule=_any_rule([make(value) for value in condition.not_values])))
    return _all_rules(parts)


def _permission_maker(key: str) -> Callable[[str], Permission]:
    header = _HEADER_KEY.match(key)
    if header is not None:
        return lambda value: _header(header.group(1), value)
    return _PERMISSION_KEYS.get(key, lambda _: Permission(not_rule=Permission(any=True)))
