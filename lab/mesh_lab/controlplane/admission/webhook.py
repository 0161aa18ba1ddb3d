"""The admission webhooks: pods get their proxies, resources of the mesh are checked before they are stored.

https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Awaitable, Callable

import orjson
from aiohttp import web

from mesh_lab.controlplane.admission import validating
from mesh_lab.controlplane.admission.reviewing import Answer, ReviewError, asked_for, reviewed
from mesh_lab.controlplane.injection import injector
from mesh_lab.controlplane.injection.injector import Place
from mesh_lab.controlplane.process.metrics import Metrics

log = logging.getLogger(__name__)

_MOST_BYTES = 8 * 1024 * 1024


def review(document: object, place: Place) -> Answer:
    """Answer an AdmissionReview of a pod; the outcome is success, skip or failure.

    Raises:
        ReviewError: the body is not an AdmissionReview of a pod.
    """
    request = asked_for(document)
    pod = request.get("object")
    if not isinstance(pod, dict):
        raise ReviewError("the review's request has no 'object'")
    namespace = request.get("namespace") or (pod.get("metadata") or {}).get("namespace") or "default"
    try:
        if not injector.wanted(pod, namespace):
            return reviewed(document, "skip")
        patch = orjson.dumps(injector.patch(pod, injector.inject(pod, place, namespace)))
    except ValueError as error:
        # A pod that would run without the proxy that its author wants is worse than none.
        status = {"code": 422, "reason": "Invalid", "message": str(error)}
        return reviewed(document, "failure", allowed=False, status=status)
    return reviewed(document, "success", patchType="JSONPatch", patch=base64.b64encode(patch).decode())


def build_app(place: Callable[[], Place], metrics: Metrics) -> web.Application:
    """The application on the webhooks' port."""

    def answering(
        what: str, answer: Callable[[object], Answer], count: Callable[[str], None]
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            try:
                given = answer(orjson.loads(await request.read()))
            except (orjson.JSONDecodeError, ReviewError) as error:
                raise web.HTTPBadRequest(text=f"{error}\n") from None
            count(given.outcome)
            if given.refusal:
                log.warning("denied a %s: %s", what, given.refusal)
            return web.Response(body=orjson.dumps(given.review), content_type="application/json")

        return handle

    app = web.Application(client_max_size=_MOST_BYTES)
    app.router.add_post("/inject", answering("pod", lambda document: review(document, place()), metrics.injected))
    app.router.add_post("/validate", answering("resource", validating.review, metrics.validated))
    return app
