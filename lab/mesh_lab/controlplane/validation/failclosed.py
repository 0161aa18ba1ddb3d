"""What holds of a policy that cannot be read, or cannot be carried out: never more access than it says.

What is understood of it stays. A rule that is not understood matches nothing when it would allow, and everything when
it would deny; and so do all rules when the rest of the policy is not understood. A selector that cannot be read selects
every workload that it could. So what holds depends on what is stored, and on nothing that was stored before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import msgspec
from msgspec import structs

from mesh_lab.controlplane.model import AuthorizationPolicy, DecodeError, PeerAuthentication
from mesh_lab.controlplane.model.base import PolicyTargetReference, Spec, WorkloadSelector
from mesh_lab.controlplane.model.decoding import decode_as
from mesh_lab.controlplane.model.requestauthentication import NO_TOKEN, JWTRule, RequestAuthentication
from mesh_lab.controlplane.model.security import EVERYTHING, NOTHING, Action, MutualTLS, Rule
from mesh_lab.controlplane.validation import requestauthentication, security
from mesh_lab.controlplane.validation.common import Problem


class Closed(NamedTuple):
    """What holds instead, and `effect`, which says so.

    `any_workload`: the selector could not be read, so it is for every workload that the policy's namespace allows.
    """

    spec: Spec
    effect: str
    any_workload: bool


class FailClosed(NamedTuple):
    """What holds in place of a policy of one kind.

    `of_json` is for one in error, `of_spec` for one that cannot be carried out (None where it grants no access);
    `unread` holds where nothing of it could be read.
    """

    of_json: Callable[[Any], Closed]
    of_spec: Callable[[Any], Spec | None]
    unread: Spec


# By action: what becomes of a rule that is not understood, and the words for it.
_UNREAD: Mapping[Action, tuple[Rule, str]] = {
    "ALLOW": (NOTHING, "allows nothing"),
    "DENY": (EVERYTHING, "denies all that its workloads serve"),
    "CUSTOM": (EVERYTHING, "refuses all that its workloads serve"),
    "AUDIT": (NOTHING, "has no effect"),
}


def authorization_policy(raw: Any) -> Closed:
    """What holds of an AuthorizationPolicy in error."""
    fields: Mapping[str, Any] = raw if isinstance(raw, Mapping) else {}
    given = fields.get("action", "ALLOW")
    action: Action = next((known for known in _UNREAD if known == given), "DENY")
    unread, words = _UNREAD[action]
    rules = fields.get("rules") or []
    if action != given or raw is not fields or not isinstance(rules, list) or not _is_clear(fields, action):
        kept, effect = [unread], f"the policy {words}"
    else:
        kept = [_rule(rule, action) or unread for rule in rules]
        bad = [f"rules[{index}]" for index, rule in enumerate(rules) if _rule(rule, action) is None]
        effect = f"{', '.join(bad)} {words}" if bad else "its rules hold as they are written"
    selector, any_workload = _selector(fields)
    targets = _targets(fields) if selector is None and not any_workload else []
    if any_workload:
        effect += ", whichever they are: it is for every workload of its namespace"
    return Closed(
        AuthorizationPolicy(selector=selector, target_refs=targets, rules=kept, action=action), effect, any_workload
    )


def _is_clear(fields: Mapping[str, Any], action: Action) -> bool:
    """Whether all but the rules is understood. A provider is never called."""
    try:
        spec = decode_as(AuthorizationPolicy, {name: value for name, value in fields.items() if name != "rules"})
    except DecodeError:
        return False
    irrelevant = (security.RULES, *(("spec.provider",) if action == "CUSTOM" else ()))
    return not any(problem.path not in irrelevant for problem in _errors(security.authorization_policy(spec)))


def _rule(raw: Any, action: Action) -> Rule | None:
    try:
        rule = msgspec.convert(raw, Rule)
    except msgspec.ValidationError:
        return None
    return None if any(_errors(security.rule_problems("", rule, action))) else rule


def _errors(problems: Iterator[Problem]) -> Iterator[Problem]:
    return (problem for problem in problems if problem.severity == "error")


def _selector(fields: Mapping[str, Any]) -> tuple[WorkloadSelector | None, bool]:
    """As much of it as can be read, which selects what all of it would and more; and whether a part could not be."""
    raw = fields.get("selector")
    if raw is None:
        return None, False
    given = (raw.get("matchLabels") or {}) if isinstance(raw, Mapping) else None
    if not isinstance(given, Mapping):
        return None, True
    read = {key: value for key, value in given.items() if isinstance(value, str) and key and "*" not in key + value}
    clear = raw.keys() <= {"matchLabels"} and len(read) == len(given)
    return (WorkloadSelector(read), False) if clear or read else (None, True)


def _targets(fields: Mapping[str, Any]) -> list[PolicyTargetReference]:
    """A policy with targets is for no workload here."""
    return [PolicyTargetReference("", "")] if fields.get("targetRefs") or fields.get("targetRef") else []


def peer_authentication(raw: Any) -> Closed:
    """What holds of a PeerAuthentication in error."""
    selector, any_workload = _selector(raw if isinstance(raw, Mapping) else {})
    where = "every workload of its namespace" if any_workload else "all that it selects"
    effect = f"it demands mutual TLS (STRICT) on every port of {where}"
    return Closed(PeerAuthentication(selector=selector, mtls=MutualTLS("STRICT")), effect, any_workload)


def request_authentication(raw: Any) -> Closed:
    """What holds of a RequestAuthentication in error: no token is good by a rule that is not understood."""
    fields: Mapping[str, Any] = raw if isinstance(raw, Mapping) else {}
    rules = fields.get("jwtRules") or []
    kept = [_token_rule(rule) for rule in rules] if isinstance(rules, list) else []
    known = [rule for rule in kept if rule is not None]
    selector, any_workload = _selector(fields)
    targets = _targets(fields) if selector is None and not any_workload else []
    bad = [f"jwtRules[{index}]" for index, rule in enumerate(kept) if rule is None]
    effect = f"{', '.join(bad) or 'it'} takes no token" if bad or not known else "its rules hold as they are written"
    if any_workload:
        effect += ", whatever the workload: it is for every one of its namespace"
    spec = RequestAuthentication(
        selector=selector, target_refs=targets, jwt_rules=[*known, NO_TOKEN] if bad or not known else known
    )
    return Closed(spec, effect, any_workload)


def _token_rule(raw: Any) -> JWTRule | None:
    try:
        rule = msgspec.convert(raw, JWTRule)
    except msgspec.ValidationError:
        return None
    return None if any(_errors(requestauthentication.rule_problems("", rule))) else rule


def _tokenless(spec: RequestAuthentication) -> RequestAuthentication:
    return structs.replace(spec, jwt_rules=[NO_TOKEN])


def _denying(spec: AuthorizationPolicy) -> AuthorizationPolicy | None:
    """The same policy, for the same workloads, denying everything."""
    if spec.action == "AUDIT":
        return None
    if spec.action == "ALLOW":
        return structs.replace(spec, rules=[])
    return structs.replace(spec, action="DENY", provider=None, rules=[EVERYTHING])


def _strict(spec: PeerAuthentication) -> PeerAuthentication:
    return structs.replace(spec, mtls=MutualTLS("STRICT"), port_level_mtls={})


AUTHORIZATION_POLICY = FailClosed(
    authorization_policy, _denying, AuthorizationPolicy(action="DENY", rules=[EVERYTHING])
)
REQUEST_AUTHENTICATION = FailClosed(request_authentication, _tokenless, RequestAuthentication(jwt_rules=[NO_TOKEN]))
PEER_AUTHENTICATION = FailClosed(peer_authentication, _strict, PeerAuthentication(mtls=MutualTLS("STRICT")))
