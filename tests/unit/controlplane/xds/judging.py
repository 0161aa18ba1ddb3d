"""A small model of how Envoy's RBAC decides, and what it decides for a pod of Bookinfo."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from typing import Any

from envoy.config.rbac.v3.rbac_pb2 import RBAC
from envoy.extensions.filters.http.rbac.v3.rbac_pb2 import RBACPerRoute
from envoy.extensions.filters.network.rbac.v3.rbac_pb2 import RBAC as NetworkRBAC  # noqa: N811 - a message

from mesh_lab.controlplane.xds.typeurls import RDS
from tests.unit.controlplane.cluster import Cluster
from tests.unit.controlplane.envoy import message
from tests.unit.controlplane.xds.translated import listener_of, resources

SERVER = "reviews-v1-abc-1"
FRIEND = "spiffe://cluster.local/ns/default/sa/productpage"


@dataclass
class Request:
    """What RBAC looks at."""

    principal: str = FRIEND
    method: str = "GET"
    path: str = "/reviews/0"
    host: str = "reviews:9080"
    port: int = 9080
    ip: str = "10.244.0.9"
    headers: dict[str, str] = field(default_factory=dict)
    claims: dict[str, Any] = field(default_factory=dict)


def text(matcher: Any, value: str) -> bool:
    kind = matcher.WhichOneof("match_pattern")
    wanted = getattr(matcher, kind)
    if kind == "safe_regex":
        return re.fullmatch(wanted.regex, value) is not None
    if matcher.ignore_case:
        value, wanted = value.lower(), wanted.lower()
    return {
        "exact": value == wanted,
        "prefix": value.startswith(str(wanted)),
        "suffix": value.endswith(str(wanted)),
        "contains": str(wanted) in value,
    }[kind]


def cidr(wanted: Any, address: str) -> bool:
    return ipaddress.ip_address(address) in ipaddress.ip_network(
        f"{wanted.address_prefix}/{wanted.prefix_len.value}", strict=False
    )


def identifies(principal: Any, request: Request) -> bool:
    kind = principal.WhichOneof("identifier")
    value = getattr(principal, kind)
    match kind:
        case "any":
            return True
        case "and_ids":
            return all(identifies(each, request) for each in value.ids)
        case "or_ids":
            return any(identifies(each, request) for each in value.ids)
        case "not_id":
            return not identifies(value, request)
        case "authenticated":
            known = not value.HasField("principal_name") or text(value.principal_name, request.principal)
            return bool(request.principal) and known
        case "direct_remote_ip" | "remote_ip":
            return cidr(value, request.ip)
        case "metadata":
            return noted(value, request)
    raise AssertionError(kind)


def noted(matcher: Any, request: Request) -> bool:
    """What the filter of tokens has left: nothing of a request without one."""
    assert matcher.filter == "envoy.filters.http.jwt_authn"
    found: Any = {"payload": request.claims}
    for segment in matcher.path:
        found = found.get(segment.key) if isinstance(found, dict) else None
    return _value(matcher.value, found) is not matcher.invert


def _value(matcher: Any, found: Any) -> bool:
    match matcher.WhichOneof("match_pattern"):
        case "string_match":
            return isinstance(found, str) and text(matcher.string_match, found)
        case "list_match":
            return isinstance(found, list) and any(_value(matcher.list_match.one_of, each) for each in found)
        case "or_match":
            return any(_value(each, found) for each in matcher.or_match.value_matchers)
    raise AssertionError(matcher)


def permits(permission: Any, request: Request) -> bool:
    kind = permission.WhichOneof("rule")
    value = getattr(permission, kind)
    match kind:
        case "any":
            return True
        case "and_rules":
            return all(permits(each, request) for each in value.rules)
        case "or_rules":
            return any(permits(each, request) for each in value.rules)
        case "not_rule":
            return not permits(value, request)
        case "header":
            headers = {":method": request.method, ":authority": request.host, **request.headers}
            if value.WhichOneof("header_match_specifier") == "present_match":
                return (value.name in headers) != bool(value.invert_match)
            found = value.name in headers
            return found and text(value.string_match, headers[value.name]) != bool(value.invert_match)
        case "url_path":
            return text(value.path, request.path)
        case "destination_port":
            return bool(value == request.port)
        case "metadata":
            return False  # of filters that are not there
    raise AssertionError(kind)


def passes(rules: RBAC, request: Request) -> bool:
    matched = any(
        any(permits(p, request) for p in policy.permissions) and any(identifies(p, request) for p in policy.principals)
        for policy in rules.policies.values()
    )
    return matched == (rules.action == RBAC.ALLOW)


def http_rules(cluster: Cluster, part: str = "rules") -> list[RBAC]:
    """In the order in which the filters ask; `part` is `rules` or `shadow_rules`."""
    found = message(resources(cluster, SERVER)[RDS]["inbound|9080||"]).typed_per_filter_config
    rules = []
    for name in (f"envoy.filters.http.rbac.{each}" for each in ("custom", "deny", "allow")):
        if name in found:
            own = RBACPerRoute()
            assert found[name].Unpack(own)
            if own.rbac.HasField(part):
                rules.append(getattr(own.rbac, part))
    return rules


def tcp_rules(cluster: Cluster, part: str = "rules") -> list[RBAC]:
    """The same of what is not HTTP."""
    chain = next(
        c for c in listener_of(cluster, "virtualInbound", SERVER).filter_chains if c.name == "virtualInbound-tls"
    )
    rules = []
    for each in chain.filters[:-1]:
        found = NetworkRBAC()
        assert each.typed_config.Unpack(found)
        if found.HasField(part):
            rules.append(getattr(found, part))
    return rules


def allowed(cluster: Cluster, **request: Any) -> bool:
    """Whether the server answers a request."""
    return all(passes(rules, Request(**request)) for rules in http_rules(cluster))


def tcp_allowed(cluster: Cluster, **connection: Any) -> bool:
    """Whether the server takes a connection that is not HTTP."""
    return all(passes(rules, Request(**connection)) for rules in tcp_rules(cluster))
