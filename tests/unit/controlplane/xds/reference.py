"""What a policy says, read from its text by the words of Istio's documentation, and by nothing of the lab's code.

https://istio.io/latest/docs/reference/config/security/authorization-policy/ and .../security/conditions/
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tests.unit.controlplane.xds.judging import Request

Policy = Mapping[str, Any]


def lets_in(policies: Sequence[Policy], request: Request, *, tcp: bool) -> bool:
    """Whether all policies of a workload together let a request, or a connection, in. CUSTOM has nobody to ask."""
    for policy in policies:
        if policy.get("action") in ("DENY", "CUSTOM") and any(_denies(r, request, tcp=tcp) for r in policy["rules"]):
            return False
    allowing = [policy for policy in policies if policy.get("action", "ALLOW") == "ALLOW"]
    return not allowing or any(_allows(r, request, tcp=tcp) for policy in allowing for r in policy["rules"])


def _allows(rule: Mapping[str, Any], request: Request, *, tcp: bool) -> bool:
    """What only HTTP can tell never allows a connection."""
    if tcp and any(name in _HTTP_ONLY for name, _ in _parts(rule)):
        return False
    return _matches(rule, request, frozenset())


def _denies(rule: Mapping[str, Any], request: Request, *, tcp: bool) -> bool:
    """What only HTTP can tell is left out for a connection, which denies more."""
    return _matches(rule, request, _HTTP_ONLY if tcp else frozenset())


def _matches(rule: Mapping[str, Any], request: Request, left_out: frozenset[str]) -> bool:
    sources = [entry["source"] for entry in rule.get("from", ())] or [{}]
    operations = [entry["operation"] for entry in rule.get("to", ())] or [{}]
    conditions = [_condition(each) for each in rule.get("when", ())]
    return (
        any(_all(source, request, left_out) for source in sources)
        and any(_all(operation, request, left_out) for operation in operations)
        and all(_all(condition, request, left_out) for condition in conditions)
    )


def _all(fields: Mapping[str, Any], request: Request, left_out: frozenset[str]) -> bool:
    for name, values in fields.items():
        wanted = not name.startswith("not")
        plain = name if wanted else name[3].lower() + name[4:]
        if plain in left_out:
            continue
        holds = _FIELDS[plain] if plain in _FIELDS else _header_of(plain)
        if any(holds(value, request) for value in values) is not wanted:
            return False
    return True


def _condition(condition: Mapping[str, Any]) -> dict[str, Any]:
    """As if it were a field of that name."""
    name = _KEYS.get(condition["key"], condition["key"])
    found = {name: condition["values"]} if "values" in condition else {}
    if "notValues" in condition:
        found["not" + name[0].upper() + name[1:]] = condition["notValues"]
    return found


def _parts(rule: Mapping[str, Any]) -> list[tuple[str, Any]]:
    groups = [
        *(entry["source"] for entry in rule.get("from", ())),
        *(entry["operation"] for entry in rule.get("to", ())),
        *(_condition(each) for each in rule.get("when", ())),
    ]
    named = [(name, values) for group in groups for name, values in group.items()]
    return [(name[3].lower() + name[4:] if name.startswith("not") else name, values) for name, values in named]


def _text(pattern: str, value: str) -> bool:
    if pattern == "*":
        return value != ""
    if pattern.startswith("*"):
        return value.endswith(pattern[1:])
    return value.startswith(pattern[:-1]) if pattern.endswith("*") else value == pattern


def _identity(request: Request) -> tuple[str, str, str] | None:
    found = re.fullmatch(r"spiffe://([^/]+)/ns/([^/]+)/sa/([^/]+)", request.principal)
    return (found[1], found[2], found[3]) if found else None


def _principal(pattern: str, request: Request) -> bool:
    return bool(request.principal) and _text(pattern, request.principal.removeprefix("spiffe://"))


def _namespace(pattern: str, request: Request) -> bool:
    who = _identity(request)
    return who is not None and re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), who[1]) is not None


def _account(value: str, request: Request) -> bool:
    who = _identity(request)
    namespace, _, name = value.rpartition("/")
    return who is not None and (who[1], who[2]) == (namespace or "default", name)


def _domain(pattern: str, request: Request) -> bool:
    who = _identity(request)
    return who is not None and _text(pattern, who[0])


def _address(block: str, request: Request) -> bool:
    return ipaddress.ip_address(request.ip) in ipaddress.ip_network(block, strict=False)


def _path(pattern: str, request: Request) -> bool:
    if "{" not in pattern:
        return _text(pattern, request.path)
    parts = re.split(r"(\{\*\*?\})", pattern)
    regex = "".join({"{*}": "[^/]+", "{**}": ".*"}.get(part, re.escape(part)) for part in parts)
    return re.fullmatch(regex, request.path) is not None


def _header_of(name: str) -> Callable[[str, Request], bool]:
    """A header that is not there equals nothing; `*` is one that is there, with a value or without."""
    header = name.removeprefix("request.headers[").removesuffix("]")

    def holds(pattern: str, request: Request) -> bool:
        value = request.headers.get(header)
        return value is not None and (pattern == "*" or _text(pattern, value))

    return holds


def _nothing(_: str, __: Request) -> bool:
    """No filter but the lab's is there: the attribute has no value."""
    return False


def _request_principal(pattern: str, request: Request) -> bool:
    """ISSUER/SUBJECT; a request without a token has none."""
    if not request.claims:
        return False
    return _text(pattern, f"{request.claims['iss']}/{request.claims['sub']}")


def _claim_of(*path: str) -> Callable[[str, Request], bool]:
    """A text, or a list of texts of which one fits."""

    def holds(pattern: str, request: Request) -> bool:
        found: Any = request.claims
        for name in path:
            found = found.get(name) if isinstance(found, dict) else None
        texts = found if isinstance(found, list) else [found]
        return any(isinstance(each, str) and _text(pattern, each) for each in texts)

    return holds


_FIELDS: Mapping[str, Callable[[str, Request], bool]] = {
    "principals": _principal,
    "namespaces": _namespace,
    "serviceAccounts": _account,
    "trustDomains": _domain,
    "ipBlocks": _address,
    "remoteIpBlocks": _address,
    "requestPrincipals": _request_principal,
    "audiences": _claim_of("aud"),
    "presenter": _claim_of("azp"),
    "group": _claim_of("group"),
    "team": _claim_of("org", "team"),
    "hosts": lambda pattern, request: _text(pattern.lower(), request.host.lower()),
    "methods": lambda pattern, request: _text(pattern, request.method),
    "paths": _path,
    "ports": lambda port, request: int(port) == request.port,
    "metadata": _nothing,
}
_KEYS: Mapping[str, str] = {
    "source.principal": "principals",
    "source.namespace": "namespaces",
    "source.serviceAccount": "serviceAccounts",
    "source.trustDomain": "trustDomains",
    "source.ip": "ipBlocks",
    "remote.ip": "remoteIpBlocks",
    "destination.port": "ports",
    "request.auth.principal": "requestPrincipals",
    "request.auth.audiences": "audiences",
    "request.auth.presenter": "presenter",
    "request.auth.claims[group]": "group",
    "request.auth.claims[org][team]": "team",
    "experimental.envoy.filters.network.mysql_proxy[db.table]": "metadata",
    "request.headers[x-user]": "request.headers[x-user]",
}
_OF_TOKENS = frozenset({"requestPrincipals", "audiences", "presenter", "group", "team"})
_HTTP_ONLY = _OF_TOKENS | {"hosts", "methods", "paths", "request.headers[x-user]"}
