"""Reviews, which are answered and not stored: TokenReview, SelfSubjectReview, SubjectAccessReview and the like.

https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/ and .../authorization-resources/
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from mesh_lab.kube import resources
from mesh_lab.kube.api.auth import Access, Action, PathAccess
from mesh_lab.kube.api.auth.authentication import user_info
from mesh_lab.kube.api.auth.authorizer import AUTHENTICATED, SERVICE_ACCOUNTS, is_administrator, is_service_account
from mesh_lab.kube.api.auth.enforced import free_rules
from mesh_lab.kube.api.auth.rbac import ALL, Rule
from mesh_lab.kube.api.bodies import answers
from mesh_lab.kube.api.context import AUTHENTICATOR, AUTHORIZER, Call
from mesh_lab.kube.api.rest.parameters import read_typed
from mesh_lab.kube.errors import Cause, invalid
from mesh_lab.kube.registry.options import User
from mesh_lab.rfc3339 import timestamp

_EVERY_RESOURCE = Rule((ALL,), (ALL,), (ALL,))
_EVERY_PATH = Rule((ALL,), urls=(ALL,))


async def create(call: Call) -> web.Response:
    """Answer one review."""
    body = await read_typed(call, call.resource.api_version, call.resource.kind)
    spec = body.get("spec") or {}
    answer = {
        "kind": call.resource.kind,
        "apiVersion": call.resource.api_version,
        "metadata": {**(body.get("metadata") or {}), "creationTimestamp": timestamp()},
        **({"spec": spec} if spec else {}),
        "status": _ANSWERS[call.resource.key](call, spec),
    }
    return answers.json_response(answer, status=201)


def _token_review(call: Call, spec: Mapping[str, Any]) -> dict[str, Any]:
    token, audiences = spec.get("token"), spec.get("audiences") or []
    if not token:
        cause = Cause("spec.token", "Required value: token is required for authentication", "FieldValueRequired")
        raise invalid("TokenReview", "", (cause,), "authentication.k8s.io")
    identity = call.request.app[AUTHENTICATOR].tokens.verify(token, audiences)
    if identity is None:
        return {"user": {}, "error": "[invalid bearer token, or its account or pod is gone]"}
    return {"authenticated": True, "user": user_info(identity.user), "audiences": list(identity.audiences)}


def _self_subject_review(call: Call, _spec: Mapping[str, Any]) -> dict[str, Any]:
    return {"userInfo": user_info(call.user)}


def _subject_access_review(call: Call, spec: Mapping[str, Any]) -> dict[str, Any]:
    _check_attributes(call, spec)
    name, groups = spec.get("user") or "", spec.get("groups") or []
    if not name and not groups:
        text = 'Invalid value: "": at least one of user or group must be specified'
        raise invalid(call.resource.kind, "", (Cause("spec.user", text),), call.resource.group)
    extra = {key: tuple(values or ()) for key, values in (spec.get("extra") or {}).items()}
    user = User(name, (*groups, *_implied(name)), uid=spec.get("uid") or "", extra=extra)
    return _verdict(call, user, spec)


def _implied(name: str) -> tuple[str, ...]:
    """Return the groups that a service account is in by its name."""
    if not name.startswith("system:serviceaccount:"):
        return ()
    namespace = name.split(":")[2]
    return SERVICE_ACCOUNTS, f"{SERVICE_ACCOUNTS}:{namespace}", AUTHENTICATED


def _self_subject_access_review(call: Call, spec: Mapping[str, Any]) -> dict[str, Any]:
    _check_attributes(call, spec)
    return _verdict(call, call.user, spec)


def _self_subject_rules_review(call: Call, spec: Mapping[str, Any]) -> dict[str, Any]:
    namespace = spec.get("namespace")
    if not namespace:
        cause = Cause("spec.namespace", "Required value: no namespace on request", "FieldValueRequired")
        raise invalid(call.resource.kind, "", (cause,), call.resource.group)
    rules = call.request.app[AUTHORIZER].rules(call.user, namespace)
    if is_administrator(call.user):
        rules = [_EVERY_RESOURCE, _EVERY_PATH, *rules]
    elif is_service_account(call.user):
        rules = [*free_rules(call.registry.resources.all(), namespace), _EVERY_PATH, *rules]
    return {
        "resourceRules": [_resource_rule(rule) for rule in rules if not rule.urls],
        "nonResourceRules": [
            {"verbs": list(rule.verbs), "nonResourceURLs": list(rule.urls)} for rule in rules if rule.urls
        ],
        "incomplete": False,
    }


def _resource_rule(rule: Rule) -> dict[str, Any]:
    fields = {
        "verbs": rule.verbs,
        "apiGroups": rule.groups,
        "resources": rule.resources,
        "resourceNames": rule.names,
    }
    return {key: list(values) for key, values in fields.items() if values}


def _check_attributes(call: Call, spec: Mapping[str, Any]) -> None:
    if bool(spec.get("resourceAttributes")) == bool(spec.get("nonResourceAttributes")):
        text = "Invalid value: exactly one of nonResourceAttributes or resourceAttributes must be specified"
        raise invalid(call.resource.kind, "", (Cause("spec.resourceAttributes", text),), call.resource.group)


def _verdict(call: Call, user: User, spec: Mapping[str, Any]) -> dict[str, Any]:
    decision = call.request.app[AUTHORIZER].decide(user, _action(spec))
    return {"allowed": decision.allowed, **({"reason": decision.reason} if decision.reason else {})}


def _action(spec: Mapping[str, Any]) -> Action:
    if path := spec.get("nonResourceAttributes"):
        return PathAccess(path.get("verb") or "", path.get("path") or "")
    attributes = spec["resourceAttributes"]
    fields = ("verb", "group", "resource", "namespace", "name", "subresource")
    return Access(*(str(attributes.get(field) or "") for field in fields))


_ANSWERS: Mapping[str, Callable[[Call, Mapping[str, Any]], dict[str, Any]]] = {
    resources.TOKEN_REVIEWS.key: _token_review,
    resources.SELF_SUBJECT_REVIEWS.key: _self_subject_review,
    resources.SUBJECT_ACCESS_REVIEWS.key: _subject_access_review,
    resources.SELF_SUBJECT_ACCESS_REVIEWS.key: _self_subject_access_review,
    resources.SELF_SUBJECT_RULES_REVIEWS.key: _self_subject_rules_review,
}
