"""One rule of an AuthorizationPolicy as a policy of Envoy's RBAC.

A rule that only HTTP can answer never allows a TCP connection; a DENY rule is evaluated there without that part, and so
denies more rather than less. It is the same with a condition on an attribute that is not known.
https://istio.io/latest/docs/reference/config/security/conditions/
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from envoy.config.core.v3.address_pb2 import CidrRange
from envoy.config.rbac.v3.rbac_pb2 import Permission, Policy, Principal
from envoy.config.route.v3.route_components_pb2 import HeaderMatcher
from envoy.type.matcher.v3.metadata_pb2 import MetadataMatcher
from envoy.type.matcher.v3.path_pb2 import PathMatcher
from envoy.type.matcher.v3.regex_pb2 import RegexMatcher
from envoy.type.matcher.v3.string_pb2 import StringMatcher
from envoy.type.matcher.v3.value_pb2 import ListMatcher, ValueMatcher

from mesh_lab.controlplane.model.clients import ClientRule
from mesh_lab.controlplane.model.security import Action, Condition, Operation, Rule, Source
from mesh_lab.controlplane.xds import claims, clientrules, trustdomains
from mesh_lab.controlplane.xds.trustdomains import TrustDomains


class Owner(NamedTuple):
    """What the values of a policy leave out: the mesh's trust domains, and the policy's own namespace."""

    trust_domains: TrustDomains
    namespace: str


_NEVER = Policy(
    permissions=[Permission(not_rule=Permission(any=True))], principals=[Principal(not_id=Principal(any=True))]
)


def policy_of(rule: Rule, action: Action, owner: Owner, *, tcp: bool) -> Policy | None:
    """One rule; None when it cannot hold for TCP."""
    if isinstance(rule, ClientRule):
        return clientrules.policy(rule, owner.trust_domains, tcp=tcp)
    if tcp and action == "ALLOW" and _needs_http(rule):
        return None
    known = [c for c in rule.when if _knows(c.key)]
    if action == "ALLOW" and len(known) < len(rule.when):
        return _NEVER
    conditions = [c for c in known if not (tcp and c.key.startswith("request."))]
    identities = [_principal_condition(c, owner) for c in conditions if _is_about_the_client(c.key)]
    what = [_permission_condition(c) for c in conditions if not _is_about_the_client(c.key)]
    sources = [entry.source for entry in rule.from_ or ()] or [None]
    operations = [entry.operation for entry in rule.to or ()] or [None]
    return Policy(
        principals=[_all_ids([*_source(source, owner, tcp=tcp), *identities]) for source in sources],
        permissions=[_all_rules([*_operation(operation, tcp=tcp), *what]) for operation in operations],
    )


def _needs_http(rule: Rule) -> bool:
    sources = [entry.source for entry in rule.from_ or () if entry.source is not None]
    operations = [entry.operation for entry in rule.to or () if entry.operation is not None]
    return (
        any(s.request_principals or s.not_request_principals for s in sources)
        or any(o.hosts or o.not_hosts or o.methods or o.not_methods or o.paths or o.not_paths for o in operations)
        or any(condition.key.startswith("request.") for condition in rule.when)
    )


def _all_ids(ids: Sequence[Principal]) -> Principal:
    return Principal(and_ids=Principal.Set(ids=ids)) if ids else Principal(any=True)


def _any_id(ids: Sequence[Principal]) -> Principal:
    return Principal(or_ids=Principal.Set(ids=ids))


def _one_of(ids: Sequence[Principal]) -> Principal:
    return ids[0] if len(ids) == 1 else _any_id(ids)


def _all_rules(rules: Sequence[Permission]) -> Permission:
    return Permission(and_rules=Permission.Set(rules=rules)) if rules else Permission(any=True)


def _any_rule(rules: Sequence[Permission]) -> Permission:
    return Permission(or_rules=Permission.Set(rules=rules))


def _source(source: Source | None, owner: Owner, *, tcp: bool) -> Iterator[Principal]:
    if source is None:
        return
    fields: tuple[tuple[list[str], list[str], Callable[[str], Principal], bool], ...] = (
        (source.principals, source.not_principals, lambda value: _principal(value, owner), False),
        (source.namespaces, source.not_namespaces, _namespace, False),
        (
            source.service_accounts,
            source.not_service_accounts,
            lambda value: _service_account(value, owner),
            False,
        ),
        (source.trust_domains, source.not_trust_domains, lambda value: _trust_domain(value, owner), False),
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
    """`*` is any text but the empty one, `abc*` a prefix, `*abc` a suffix, and anything else an exact value."""
    if value == "*":
        return StringMatcher(safe_regex=RegexMatcher(regex=".+"))
    if value.startswith("*"):
        return StringMatcher(suffix=value[1:], ignore_case=ignore_case)
    if value.endswith("*"):
        return StringMatcher(prefix=value[:-1], ignore_case=ignore_case)
    return StringMatcher(exact=value, ignore_case=ignore_case)


def _authenticated(matcher: StringMatcher) -> Principal:
    return Principal(authenticated=Principal.Authenticated(principal_name=matcher))


def _principal(value: str, owner: Owner) -> Principal:
    """As Istio writes it, without `spiffe://`."""
    return _one_of([_identity(each) for each in trustdomains.of_principal(value, owner.trust_domains)])


def _identity(value: str) -> Principal:
    if value == "*" or value.startswith("*"):
        return _authenticated(StringMatcher(safe_regex=RegexMatcher(regex=f"spiffe://.*{re.escape(value[1:])}")))
    return _authenticated(_matcher(f"spiffe://{value}"))


def _namespace(value: str) -> Principal:
    pattern = ".*".join(re.escape(part) for part in value.split("*"))
    return _authenticated(StringMatcher(safe_regex=RegexMatcher(regex=f"spiffe://[^/]+/ns/{pattern}/.*")))


def _service_account(value: str, owner: Owner) -> Principal:
    """As `namespace/name`, or as a name in the policy's own namespace; of any trust domain."""
    namespace, _, name = value.rpartition("/")
    pattern = f"spiffe://.+/ns/{re.escape(namespace or owner.namespace)}/(.+/|)sa/{re.escape(name)}(/.+)?"
    return _authenticated(StringMatcher(safe_regex=RegexMatcher(regex=pattern)))


def _trust_domain(value: str, owner: Owner) -> Principal:
    return _one_of([_domain(each) for each in trustdomains.of_domain(value, owner.trust_domains)])


def _domain(value: str) -> Principal:
    if value == "*":
        return _authenticated(StringMatcher(prefix="spiffe://"))
    if "*" not in value:
        return _authenticated(StringMatcher(prefix=f"spiffe://{value}/"))
    pattern = "[^/]*".join(re.escape(part) for part in value.split("*"))
    return _authenticated(StringMatcher(safe_regex=RegexMatcher(regex=f"spiffe://{pattern}/.*")))


def _request_principal(value: str) -> Principal:
    return _all_ids([Principal(metadata=each) for each in claims.principal(value)])


def _claim(path: Sequence[str], value: str) -> Principal:
    return Principal(metadata=claims.claim(path, [_matcher(value)]))


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
    """`*` is a header that is present, even with an empty value."""
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


_PRINCIPAL_KEYS: dict[str, Callable[[str, Owner], Principal]] = {
    "source.ip": lambda value, _: _direct_ip(value),
    "remote.ip": lambda value, _: _remote_ip(value),
    "source.namespace": lambda value, _: _namespace(value),
    "source.principal": _principal,
    "source.serviceAccount": _service_account,
    "source.trustDomain": _trust_domain,
    "request.auth.principal": lambda value, _: _request_principal(value),
    "request.auth.audiences": lambda value, _: _claim(["aud"], value),
    "request.auth.presenter": lambda value, _: _claim(["azp"], value),
}
_CLAIMS = re.compile(r"request\.auth\.claims(\[.+\])")
_PERMISSION_KEYS: dict[str, Callable[[str], Permission]] = {
    "destination.ip": lambda value: Permission(destination_ip=_cidr(value)),
    "destination.port": _port,
    "connection.sni": lambda value: Permission(requested_server_name=_matcher(value)),
}
# Attributes with a part in brackets.
_PERMISSION_PATTERNS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str], str], Permission]], ...] = (
    (re.compile(r"request\.headers\[(.+)\]"), lambda key, value: _header(key[1], value)),
    (
        re.compile(r"experimental\.(envoy\.filters\.[^\[]+)\[(.+)\]"),
        lambda key, value: _metadata(key[1], key[2], value),
    ),
)


def _metadata(filter_name: str, key: str, value: str) -> Permission:
    """A value that another of Envoy's filters has set, as a text, or, in brackets, as one of a list of texts."""
    wanted = ValueMatcher(string_match=_matcher(value.strip("[]") if _is_list(value) else value))
    if _is_list(value):
        wanted = ValueMatcher(list_match=ListMatcher(one_of=wanted))
    path = [MetadataMatcher.PathSegment(key=key)]
    return Permission(metadata=MetadataMatcher(filter=filter_name, path=path, value=wanted))


def _is_list(value: str) -> bool:
    return value.startswith("[") and value.endswith("]")


def _knows(key: str) -> bool:
    """Whether a condition on an attribute can be decided."""
    return _is_about_the_client(key) or _permission_maker(key) is not None


def _is_about_the_client(key: str) -> bool:
    return key in _PRINCIPAL_KEYS or _CLAIMS.fullmatch(key) is not None


def _principal_maker(key: str) -> Callable[[str, Owner], Principal]:
    found = _CLAIMS.fullmatch(key)
    if found is None:
        return _PRINCIPAL_KEYS[key]
    path = claims.names_in(found[1])
    return lambda value, _: _claim(path, value)


def _principal_condition(condition: Condition, owner: Owner) -> Principal:
    make = _principal_maker(condition.key)
    parts = []
    if condition.values:
        parts.append(_any_id([make(value, owner) for value in condition.values]))
    if condition.not_values:
        parts.append(Principal(not_id=_any_id([make(value, owner) for value in condition.not_values])))
    return _all_ids(parts)


def _permission_condition(condition: Condition) -> Permission:
    make = _permission_maker(condition.key)
    assert make is not None, condition.key
    parts = []
    if condition.values:
        parts.append(_any_rule([make(value) for value in condition.values]))
    if condition.not_values:
        parts.append(Permission(not_rule=_any_rule([make(value) for value in condition.not_values])))
    return _all_rules(parts)


def _permission_maker(key: str) -> Callable[[str], Permission] | None:
    """None for an attribute that is not known."""
    if key in _PERMISSION_KEYS:
        return _PERMISSION_KEYS[key]
    for pattern, make in _PERMISSION_PATTERNS:
        found = pattern.fullmatch(key)
        if found is not None:
            return partial(make, found)
    return None
