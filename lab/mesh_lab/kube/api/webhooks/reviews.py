"""AdmissionReviews: the request to a webhook, and its response.

https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#request
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import orjson

from mesh_lab.kube.api.auth.authentication import user_info
from mesh_lab.kube.api.webhooks.calls import CallError
from mesh_lab.kube.api.webhooks.matching import Match
from mesh_lab.kube.changes import Object
from mesh_lab.kube.errors import ApiError
from mesh_lab.kube.registry.options import AdmissionRequest, Operation, Patch, PatchKind
from mesh_lab.kube.registry.patching.patches import apply_patch
from mesh_lab.kube.resources import Resource
from mesh_lab.kube.schemas import ANY

GROUP = "admission.k8s.io"
VERSIONS = ("v1", "v1beta1")
"""The supported versions of AdmissionReview; they have the same fields."""
Review = dict[str, Any]


def version(hook: Mapping[str, Any]) -> str:
    """Return the first supported version of the webhook's list.

    Raises:
        CallError: there is none.
    """
    wanted = hook.get("admissionReviewVersions") or ()
    found = next((each for each in wanted if each in VERSIONS), None)
    if found is None:
        raise CallError(f"webhook does not accept known AdmissionReview versions ({', '.join(VERSIONS)})")
    return str(found)


def review(request: AdmissionRequest, found: Match, review_version: str) -> Review:
    """Return the `AdmissionReview` for a webhook."""
    own, shown = request.resource, found.resource
    body: dict[str, Any] = {
        "uid": str(uuid.uuid4()),
        "kind": found.kind(request),
        "resource": _plural(shown),
        "requestKind": Match(own).kind(request),
        "requestResource": _plural(own),
        "name": request.name,
        "operation": str(request.operation),
        "userInfo": user_info(request.user),
        "object": found.shown(request.obj, request),
        "oldObject": found.shown(request.old, request),
        "dryRun": request.dry_run,
        "options": request.options.document(request.operation) if request.options else None,
    }
    if request.subresource:
        body["subResource"] = body["requestSubResource"] = request.subresource
    if request.namespace:
        body["namespace"] = request.namespace
    return {"kind": "AdmissionReview", "apiVersion": f"{GROUP}/{review_version}", "request": body}


def response(answer: Any, sent: Review) -> Mapping[str, Any]:
    """Return the response in a webhook's answer.

    Raises:
        CallError: it does not belong to this request.
    """
    kind = (answer.get("apiVersion"), answer.get("kind")) if isinstance(answer, dict) else None
    if kind != (sent["apiVersion"], sent["kind"]):
        raise CallError(f"expected webhook response of {sent['apiVersion']}, Kind={sent['kind']}, got {kind}")
    found = answer.get("response")
    if not isinstance(found, dict):
        raise CallError("webhook response was absent")
    uid = sent["request"]["uid"]
    if found.get("uid") != uid:
        raise CallError(f'expected response.uid="{uid}", got "{found.get("uid", "")}"')
    for field, kinds in _FIELDS.items():
        if found.get(field) is not None and not isinstance(found[field], kinds):
            raise CallError(f"response.{field} in the webhook's answer is not {_WORDS[kinds]}")
    return found


def changed(request: AdmissionRequest, found: Match, answer: Mapping[str, Any]) -> Object | None:
    """Apply a webhook's patch.

    Raises:
        CallError: it cannot be applied.
    """
    patch = answer.get("patch")
    if not patch or request.obj is None:
        return request.obj
    if request.operation == Operation.CONNECT:
        raise CallError("it changes the options of a connection, which this API server does not carry out")
    shown = found.shown(request.obj, request) or {}
    patched = _patched(answer, patch, deepcopy(shown))
    return {**patched, "apiVersion": request.obj.get("apiVersion", request.resource.api_version)}


def denied(name: str, status: Mapping[str, Any]) -> ApiError:
    """Return the error of a denial, as Kubernetes words it."""
    start = f'admission webhook "{name}" denied the request'
    why = status.get("message") or status.get("reason")
    code, details = status.get("code", 0), status.get("details")
    return ApiError(
        code if isinstance(code, int) and 400 <= code < 600 else 400,
        str(status.get("reason") or ""),
        f"{start}: {why}" if why else f"{start} without explanation",
        details=dict(details) if isinstance(details, dict) else {},
    )


def _patched(answer: Mapping[str, Any], patch: str, obj: Object) -> Object:
    if answer.get("patchType") != "JSONPatch":
        raise CallError(f'unsupported patch type "{answer.get("patchType", "")}"')
    try:
        operations = orjson.loads(base64.b64decode(patch, validate=True))
        return apply_patch(Patch(PatchKind.JSON, operations), obj, ANY, custom=False)
    except ValueError as error:
        raise CallError(f"its patch cannot be read: {error}") from error
    except ApiError as error:
        raise CallError(f"its patch does not apply: {error.message}") from error


def _plural(resource: Resource) -> dict[str, str]:
    return {"group": resource.group, "version": resource.version, "resource": resource.plural}


_FIELDS: Mapping[str, type] = {"allowed": bool, "status": dict, "warnings": list, "patch": str}
_WORDS: Mapping[type, str] = {bool: "true or false", dict: "an object", list: "a list", str: "a text"}
