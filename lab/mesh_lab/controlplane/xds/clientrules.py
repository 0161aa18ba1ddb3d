"""A rule that says more of clients and requests than an AuthorizationPolicy's, as a policy of Envoy's RBAC."""

from __future__ import annotations

import re
from collections.abc import Sequence

from envoy.config.rbac.v3.rbac_pb2 import Permission, Policy, Principal
from envoy.config.route.v3.route_components_pb2 import HeaderMatcher
from envoy.type.matcher.v3.path_pb2 import PathMatcher
from envoy.type.matcher.v3.regex_pb2 import RegexMatcher
from envoy.type.matcher.v3.string_pb2 import StringMatcher

from mesh_lab.controlplane.model.clients import ClientRule, HeaderTest, RequestTest, Unless
from mesh_lab.controlplane.xds.trustdomains import TrustDomains, spiffe

_ANYBODY = Principal(any=True)
_UNKNOWN = Principal(not_id=Principal(authenticated=Principal.Authenticated()))


def policy(rule: ClientRule, trust_domains: TrustDomains, *, tcp: bool) -> Policy:
    """The clients of a rule and what they ask for. Of a connection nothing is known that they ask for: all of it is."""
    who = _any_client([each for name in rule.clients for each in _clients(name, trust_domains)])
    others = [each for name in rule.but_not for each in _clients(name, trust_domains)]
    if others:
        who = Principal(and_ids=Principal.Set(ids=[who, Principal(not_id=_any_client(others))]))
    requests = [] if tcp else [_unless(each) for each in rule.requests]
    return Policy(principals=[who], permissions=requests or [Permission(any=True)])


def _clients(name: str, trust_domains: TrustDomains) -> list[Principal]:
    """`NAMESPACE/ACCOUNT`, `NAMESPACE/*`, `*` for all, or nothing for those without an identity of the mesh."""
    if not name:
        return [_UNKNOWN]
    if name == "*":
        return [_ANYBODY]
    namespace, _, account = name.partition("/")
    if account == "*":
        domains = "|".join(map(re.escape, trust_domains))
        pattern = f"spiffe://({domains})/ns/{re.escape(namespace)}/sa/.+"
        return [_named(StringMatcher(safe_regex=RegexMatcher(regex=pattern)))]
    return [_named(StringMatcher(exact=identity)) for identity in spiffe(trust_domains, namespace, account)]


def _named(matcher: StringMatcher) -> Principal:
    return Principal(authenticated=Principal.Authenticated(principal_name=matcher))


def _any_client(some: Sequence[Principal]) -> Principal:
    if not some:
        return Principal(not_id=_ANYBODY)
    return some[0] if len(some) == 1 else Principal(or_ids=Principal.Set(ids=some))


def _unless(each: Unless) -> Permission:
    what = _request(each.test)
    if not each.unless:
        return what
    others = Permission(or_rules=Permission.Set(rules=[_request(test) for test in each.unless]))
    return Permission(and_rules=Permission.Set(rules=[what, Permission(not_rule=others)]))


def _request(test: RequestTest) -> Permission:
    parts = [*_path(test), *map(_header, test.headers)]
    if test.methods:
        parts.append(Permission(or_rules=Permission.Set(rules=[_method(name) for name in test.methods])))
    return Permission(and_rules=Permission.Set(rules=parts)) if parts else Permission(any=True)


def _path(test: RequestTest) -> list[Permission]:
    """Paths are compared without their query."""
    if test.path_exact:
        return [Permission(url_path=PathMatcher(path=StringMatcher(exact=test.path_exact)))]
    if test.path_prefix:
        return [Permission(url_path=PathMatcher(path=StringMatcher(prefix=test.path_prefix)))]
    if test.path_regex:
        regex = StringMatcher(safe_regex=RegexMatcher(regex=test.path_regex))
        return [Permission(url_path=PathMatcher(path=regex))]
    return []


def _method(name: str) -> Permission:
    return Permission(header=HeaderMatcher(name=":method", string_match=StringMatcher(exact=name)))


def _header(test: HeaderTest) -> Permission:
    matcher = HeaderMatcher(name=test.name, invert_match=test.invert)
    if test.kind == "present":
        matcher.present_match = True
    elif test.kind == "regex":
        matcher.string_match.safe_regex.regex = test.value
    else:
        setattr(matcher.string_match, test.kind, test.value)
        matcher.string_match.ignore_case = test.ignore_case
    return Permission(header=matcher)
