"""Match conditions in CEL, and what expressions about a request read.

https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#matching-requests-matchconditions
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mesh_lab.kube.api.auth.attributes import Access, Action, PathAccess
from mesh_lab.kube.api.auth.authorizer import Authorizer
from mesh_lab.kube.api.webhooks import reviews
from mesh_lab.kube.api.webhooks.matching import Match
from mesh_lab.kube.changes import Object
from mesh_lab.kube.registry.cel.admission import Evaluation, Input, conditions_hold
from mesh_lab.kube.registry.options import AdmissionRequest, User


def concerned(hook: Mapping[str, Any], found: Match, request: AdmissionRequest, authorizer: Authorizer) -> bool:
    """Whether the conditions of a webhook whose rules match hold for the request.

    Raises:
        EvaluationError: one has no value, and none is false.
    """
    conditions = hook.get("matchConditions") or ()
    return not conditions or conditions_hold(conditions, Evaluation(request_input(found, request, authorizer)))


def request_input(
    found: Match, request: AdmissionRequest, authorizer: Authorizer, namespace: Object | None = None
) -> Input:
    """What expressions about a request read.

    Raises:
        EvaluationError: a text in it cannot be handed to an expression.
    """

    def decide(asked: Mapping[str, Any]) -> tuple[bool, str]:
        user = asked["user"]
        decision = authorizer.decide(User(user["username"], tuple(user.get("groups") or ())), _action(asked))
        return decision.allowed, decision.reason

    return Input.of(reviews.review(request, found, "v1")["request"], decide, namespace)


def _action(asked: Mapping[str, Any]) -> Action:
    if "path" in asked:
        return PathAccess(asked["verb"].lower(), asked["path"])
    where = {field: asked.get(field, "") for field in ("group", "resource", "namespace", "name", "subresource")}
    return Access(asked["verb"], **where)
