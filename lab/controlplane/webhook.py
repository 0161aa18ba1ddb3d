"""The admission webhook's answers. https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/"""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable
from typing import Any, NamedTuple

import orjson
from aiohttp import web

from lab.controlplane import injector
from lab.controlplane.injector import Place
from lab.controlplane.metrics import Metrics

log = logging.getLogger(__name__)

_MOST_BYTES = 8 * 1024 * 1024


class ReviewError(ValueError):
    """What came is not an AdmissionReview of a pod."""


class Answer(NamedTuple):
    """An AdmissionReview, and one word on it for the metrics: success, skip or failure."""

    review: dict[str, Any]
    outcome: str


def review(request: object, place: Place) -> Answer:
    """Answer an AdmissionReview (v1). Raises ReviewError."""
    if not isinstance(request, dict) or not isinstance(request.get("request"), dict):
        raise ReviewError("not an AdmissionReview: there is no 'request'")
    asked = request["request"]
    pod, uid = asked.get("object"), asked.get("uid")
    if not isinstance(pod, dict) or not isinstance(uid, str):
        raise ReviewError("the review's request has no 'uid' or no 'object'")
    response: dict[str, Any] = {"uid": uid, "allowed": True}
    outcome = "skip"
    namespace = asked.get("namespace") or (pod.get("metadata") or {}).get("namespace") or "default"
    try:
        if injector.wanted(pod, namespace):
            patch = injector.patch(pod, injector.inject(pod, place))
            response |= {"patchType": "JSONPatch", "patch": base64.b64encode(orjson.dumps(patch)).decode()}
            outcome = "success"
    except ValueError as error:
        # A pod that would run without the proxy its author asked for is worse than none.
        response |= {"allowed": False, "status": {"code": 422, "reason": "Invalid", "message": str(error)}}
        outcome = "failure"
    return Answer({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}, outcome)


def build_app(place: Callable[[], Place], metrics: Metrics) -> web.Application:
    """The application on the webhook's port."""

    async def inject(request: web.Request) -> web.Response:
        try:
            answer = review(orjson.loads(await request.read()), place())
        except (orjson.JSONDecodeError, ReviewError) as error:
            raise web.HTTPBadRequest(text=f"{error}\n") from None
        metrics.injected(answer.outcome)
        response = answer.review["response"]
        if not response["allowed"]:
            log.warning("refused a pod: %s", response["status"]["message"])
        return web.Response(body=orjson.dumps(answer.review), content_type="application/json")

    app = web.Application(client_max_size=_MOST_BYTES)
    app.router.add_post("/inject", inject)
    return app
