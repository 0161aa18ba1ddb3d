"""Admission by mutating webhooks: what a MutatingWebhookConfiguration selects is shown to its service, which may change
or refuse it.

https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/

Webhooks are called one after the other, configurations by name. CEL match conditions are not evaluated: a webhook that
has some fails, as one whose condition cannot be evaluated does.
"""

from __future__ import annotations

import base64
import logging
import uuid
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import orjson

from lab.kube.api.authentication import user_info
from lab.kube.api.context import WARNINGS
from lab.kube.api.webhook_calls import Caller, CallError
from lab.kube.api.webhook_matching import Match, Request, match
from lab.kube.changes import Object
from lab.kube.errors import ApiError, internal
from lab.kube.registry.options import Patch, PatchKind, User
from lab.kube.registry.patches import apply_patch
from lab.kube.registry.registry import Registry
from lab.kube.resources import MUTATING_WEBHOOKS, Resource
from lab.kube.schemas import ANY

log = logging.getLogger(__name__)

_API_VERSION = "admission.k8s.io/v1"
_OPTIONS = {"CREATE": "CreateOptions", "UPDATE": "UpdateOptions", "DELETE": "DeleteOptions"}


@dataclass
class _Hook:
    """One webhook of one configuration, and the object as it left it."""

    configuration: str
    spec: Mapping[str, Any]
    left: Object | None = None
    called: bool = False

    @property
    def name(self) -> str:
        return str(self.spec["name"])

    @property
    def may_fail(self) -> bool:
        return str(self.spec.get("failurePolicy", "Fail")) == "Ignore"


class Webhooks:
    """Implements the registry's `Admission` with the webhooks that the registry holds."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._caller = Caller(registry)

    async def close(self) -> None:
        """Close the connections to webhooks."""
        await self._caller.close()

    async def admit(
        self,
        operation: str,
        resource: Resource,
        obj: Object | None,
        old: Object | None,
        namespace: str,
        user: User,
        dry_run: bool,
    ) -> Object | None:
        """The object as the webhooks leave it. Raises `ApiError` when one refuses it, or fails and may not."""
        hooks = list(self._hooks(resource))
        if not hooks:
            return obj
        request = Request(operation, resource, obj, old, namespace, user, dry_run)
        for hook in hooks:
            request = await self._pass(hook, request)
        for hook in hooks:
            again = hook.called and hook.spec.get("reinvocationPolicy") == "IfNeeded"
            if again and request.obj != hook.left:
                request = await self._pass(hook, request)
        return request.obj

    def _hooks(self, resource: Resource) -> Iterator[_Hook]:
        """All webhooks in order. Those who configure webhooks must stay able to, so these are shown to none."""
        if resource.group == MUTATING_WEBHOOKS.group:
            return
        for configuration in self._registry.list(MUTATING_WEBHOOKS):
            for spec in configuration.get("webhooks") or []:
                yield _Hook(configuration["metadata"]["name"], spec)

    async def _pass(self, hook: _Hook, request: Request) -> Request:
        """Show the object to one webhook, if that wants to see it."""
        found = match(self._registry, hook.spec, request)
        if found is None:
            return request
        try:
            changed = await self._ask(hook, request, found)
        except CallError as error:
            if not hook.may_fail:
                raise internal(f'Internal error occurred: failed calling webhook "{hook.name}": {error}') from error
            log.warning("webhook %s of %s failed and is ignored: %s", hook.name, hook.configuration, error)
            return request
        hook.called, hook.left = True, changed
        return request.replaced(changed)

    async def _ask(self, hook: _Hook, request: Request, found: Match) -> Object | None:
        if hook.spec.get("matchConditions"):
            raise CallError("its matchConditions cannot be evaluated: the lab has no CEL")
        review = _review(request, found)
        answer = _response(await self._caller.call(hook.spec, review), review["request"]["uid"])
        for warning in answer.get("warnings") or []:
            if (warnings := WARNINGS.get()) is not None and warning not in warnings:
                warnings.append(str(warning))
        if not answer.get("allowed"):
            raise _denied(hook.name, answer.get("status") or {})
        patch = answer.get("patch")
        if not patch or request.obj is None:
            return request.obj
        shown = found.shown(request.obj) or {}
        patched = _patched(answer, patch, deepcopy(shown))
        return {**patched, "apiVersion": request.obj.get("apiVersion", request.resource.api_version)}


def _review(request: Request, found: Match) -> dict[str, Any]:
    """The `AdmissionReview` that a webhook is sent."""
    own, shown = request.resource, found.resource
    current = request.obj or request.old or {}
    body: dict[str, Any] = {
        "uid": str(uuid.uuid4()),
        "kind": _kind(shown),
        "resource": _plural(shown),
        "requestKind": _kind(own),
        "requestResource": _plural(own),
        "name": current.get("metadata", {}).get("name", ""),
        "operation": request.operation,
        "userInfo": user_info(request.user),
        "object": found.shown(request.obj),
        "oldObject": found.shown(request.old),
        "dryRun": request.dry_run,
        "options": {"kind": _OPTIONS[request.operation], "apiVersion": "meta.k8s.io/v1"},
    }
    if request.namespace:
        body["namespace"] = request.namespace
    return {"kind": "AdmissionReview", "apiVersion": _API_VERSION, "request": body}


def _response(answer: Any, uid: str) -> Mapping[str, Any]:
    """The response in a webhook's answer. Raises `CallError` when it is none to this request."""
    kind = (answer.get("apiVersion"), answer.get("kind")) if isinstance(answer, dict) else None
    if kind != (_API_VERSION, "AdmissionReview"):
        raise CallError(f"expected webhook response of {_API_VERSION}, Kind=AdmissionReview, got {kind}")
    response = answer.get("response")
    if not isinstance(response, dict):
        raise CallError("webhook response was absent")
    if response.get("uid") != uid:
        raise CallError(f'expected response.uid="{uid}", got "{response.get("uid", "")}"')
    return response


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


def _denied(name: str, status: Mapping[str, Any]) -> ApiError:
    start = f'admission webhook "{name}" denied the request'
    why = status.get("message") or status.get("reason")
    code = status.get("code", 0)
    return ApiError(
        code if isinstance(code, int) and 400 <= code < 600 else 400,
        str(status.get("reason", "")),
        f"{start}: {why}" if why else f"{start} without explanation",
        details=dict(status.get("details") or {}),
    )


def _kind(resource: Resource) -> dict[str, str]:
    return {"group": resource.group, "version": resource.version, "kind": resource.kind}


def _plural(resource: Resource) -> dict[str, str]:
    return {"group": resource.group, "version": resource.version, "resource": resource.plural}
