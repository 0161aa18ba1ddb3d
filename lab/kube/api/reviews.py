"""Questions that are answered and not stored: who is this token, who am I, may somebody do that.

https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/ and .../authorization-resources/
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from lab.kube import resources
from lab.kube.api import answers, typed_bodies
from lab.kube.api.authentication import allowed, user_info
from lab.kube.api.context import AUTHENTICATOR, Call
from lab.kube.errors import Cause, invalid
from lab.kube.registry.metadata import timestamp
from lab.kube.registry.options import User

_ALLOWED = "administrators and service accounts of the lab may do everything"
_OF_ONESELF = (
    resources.SELF_SUBJECT_REVIEWS.key,
    resources.SELF_SUBJECT_ACCESS_REVIEWS.key,
    resources.SELF_SUBJECT_RULES_REVIEWS.key,
)
_NOT_ALLOWED = "only administrators (system:masters) and the lab's service accounts may; roles are stored, not enforced"


async def create(call: Call) -> web.Response:
    """Answer one question."""
    body = await typed_bodies.read(call, call.resource.api_version, call.resource.kind)
    spec = body.get("spec") or {}
    answer = {
        "kind": call.resource.kind,
        "apiVersion": call.resource.api_version,
        "metadata": {**(body.get("metadata") or {}), "creationTimestamp": timestamp()},
        **({"spec": spec} if spec else {}),
        "status": _ANSWERS[call.resource.key](call, spec),
    }
    return answers.json_response(answer, status=201)


def may_ask(key: str) -> bool:
    """Whether everybody who is authenticated may ask this: questions about oneself."""
    return key in _OF_ONESELF


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
    if name.startswith("system:serviceaccount:"):
        groups = [*groups, "system:serviceaccounts"]
    return _verdict(User(name, tuple(groups)))


def _self_subject_access_review(call: Call, spec: Mapping[str, Any]) -> dict[str, Any]:
    _check_attributes(call, spec)
    return _verdict(call.user)


def _self_subject_rules_review(call: Call, spec: Mapping[str, Any]) -> dict[str, Any]:
    if not spec.get("namespace"):
        cause = Cause("spec.namespace", "Required value: no namespace on request", "FieldValueRequired")
        raise invalid(call.resource.kind, "", (cause,), call.resource.group)
    everything = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
    parts = [key.partition(".") for key in _OF_ONESELF]
    own = [{"verbs": ["create"], "apiGroups": [group], "resources": [plural]} for plural, _, group in parts]
    if allowed(call.user):
        return {
            "resourceRules": [everything, *own],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
            "incomplete": False,
        }
    return {"resourceRules": own, "nonResourceRules": [], "incomplete": False}


def _check_attributes(call: Call, spec: Mapping[str, Any]) -> None:
    if bool(spec.get("resourceAttributes")) == bool(spec.get("nonResourceAttributes")):
        text = "Invalid value: exactly one of nonResourceAttributes or resourceAttributes must be specified"
        raise invalid(call.resource.kind, "", (Cause("spec.resourceAttributes", text),), call.resource.group)


def _verdict(user: User) -> dict[str, Any]:
    return {"allowed": True, "reason": _ALLOWED} if allowed(user) else {"allowed": False, "reason": _NOT_ALLOWED}


_ANSWERS: Mapping[str, Callable[[Call, Mapping[str, Any]], dict[str, Any]]] = {
    resources.TOKEN_REVIEWS.key: _token_review,
    resources.SELF_SUBJECT_REVIEWS.key: _self_subject_review,
    resources.SUBJECT_ACCESS_REVIEWS.key: _subject_access_review,
    resources.SELF_SUBJECT_ACCESS_REVIEWS.key: _self_subject_access_review,
    resources.SELF_SUBJECT_RULES_REVIEWS.key: _self_subject_rules_review,
}
