"""AdmissionReviews, as istiod's webhooks read and answer them.

https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#webhook-request-and-response
"""

from __future__ import annotations

from typing import Any, NamedTuple

from mesh_lab.controlplane.world.kubernetes import Object

_VERSION = "admission.k8s.io/v1"


class ReviewError(ValueError):
    """The body is not an AdmissionReview, or one of another kind of object."""


class Answer(NamedTuple):
    """An AdmissionReview, and one word on it for the metrics."""

    review: dict[str, Any]
    outcome: str

    @property
    def refusal(self) -> str:
        """Why the request is denied; empty when it is allowed."""
        response = self.review["response"]
        return "" if response["allowed"] else str(response["status"]["message"])


def asked_for(document: object) -> Object:
    """The request in an AdmissionReview.

    Raises:
        ReviewError: it has no request with a `uid`.
    """
    if not isinstance(document, dict) or not isinstance(document.get("request"), dict):
        raise ReviewError("not an AdmissionReview: there is no 'request'")
    request: Object = document["request"]
    if not isinstance(request.get("uid"), str):
        raise ReviewError("the review's request has no 'uid'")
    return request


def reviewed(document: object, outcome: str, *, allowed: bool = True, **more: Any) -> Answer:
    """The answer to a review; those of `more` that are not empty are part of the response.

    Raises:
        ReviewError: the review has no request with a `uid`.
    """
    response = {"uid": asked_for(document)["uid"], "allowed": allowed}
    response |= {key: value for key, value in more.items() if value}
    # The versions have the same fields; the response has the version of the request.
    version = document.get("apiVersion", _VERSION) if isinstance(document, dict) else _VERSION
    return Answer({"apiVersion": version, "kind": "AdmissionReview", "response": response}, outcome)
