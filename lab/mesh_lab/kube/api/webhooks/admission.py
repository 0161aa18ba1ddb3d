"""Admission by webhooks: requests that their configurations select are sent to them, and they may change or deny them.

https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/

Mutating webhooks are called one after the other, configurations by name; validating ones all at once, after the object
has been validated, and each sees what would be stored.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from mesh_lab.kube.api.auth.authorizer import Authorizer
from mesh_lab.kube.api.context import WARNINGS
from mesh_lab.kube.api.webhooks import reviews
from mesh_lab.kube.api.webhooks.calls import Caller, CallError
from mesh_lab.kube.api.webhooks.conditions import concerned
from mesh_lab.kube.api.webhooks.matching import Match, match
from mesh_lab.kube.changes import Object
from mesh_lab.kube.errors import forbidden, internal
from mesh_lab.kube.registry.cel.expressions import EvaluationError
from mesh_lab.kube.registry.options import AdmissionRequest
from mesh_lab.kube.registry.registry import Registry
from mesh_lab.kube.resources import MUTATING_WEBHOOKS, VALIDATING_WEBHOOKS, Resource

log = logging.getLogger(__name__)


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
        self._authorizer = Authorizer(registry)

    async def close(self) -> None:
        """Close the connections to webhooks."""
        await self._caller.close()

    async def mutate(self, request: AdmissionRequest) -> Object | None:
        """See `Admission`."""
        hooks = list(self._hooks(MUTATING_WEBHOOKS, request))
        for hook in hooks:
            request = await self._pass(hook, request)
        for hook in hooks:
            again = hook.called and hook.spec.get("reinvocationPolicy") == "IfNeeded"
            if again and request.obj != hook.left:
                request = await self._pass(hook, request)
        return request.obj

    async def validate(self, request: AdmissionRequest) -> bool:
        """See `Admission`. Of several denials, the client gets that of the first configuration."""
        concerned = [
            (hook, found)
            for hook in self._hooks(VALIDATING_WEBHOOKS, request)
            if (found := self._match(hook, request)) is not None
        ]
        if not concerned:
            return False
        asked = (self._ask(hook, request, found) for hook, found in concerned)
        for outcome in await asyncio.gather(*asked, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome
        return True

    def _hooks(self, kind: Resource, request: AdmissionRequest) -> Iterator[_Hook]:
        """Return all webhooks in order. Webhook configurations themselves are never sent to webhooks."""
        if request.resource.group == kind.group:
            return
        for configuration in self._registry.list(kind):
            for spec in configuration.get("webhooks") or []:
                yield _Hook(configuration["metadata"]["name"], spec)

    async def _pass(self, hook: _Hook, request: AdmissionRequest) -> AdmissionRequest:
        """Call one mutating webhook, if its rules match."""
        found = self._match(hook, request)
        if found is None:
            return request
        answer = await self._ask(hook, request, found)
        if answer is None:
            return request
        with self._failing(hook):
            changed = reviews.changed(request, found, answer)
            hook.called, hook.left = True, changed
            return request.of(changed)
        return request

    def _match(self, hook: _Hook, request: AdmissionRequest) -> Match | None:
        """Match a request against a webhook's rules and conditions; None when it does not concern the webhook.

        Raises:
            ApiError: 403, a condition has no value, and the webhook may not be left out.
        """
        found = match(self._registry, hook.spec, request)
        if found is None:
            return None
        try:
            return found if concerned(hook.spec, found, request, self._authorizer) else None
        except EvaluationError as error:
            if hook.may_fail:
                log.warning("webhook %s of %s is ignored: %s", hook.name, hook.configuration, error)
                return None
            resource = request.resource
            raise forbidden(f'{resource.key} "{request.name or "Unknown"}" is forbidden: {error}') from error

    async def _ask(self, hook: _Hook, request: AdmissionRequest, found: Match) -> Mapping[str, Any] | None:
        """Return a webhook's response; None when it failed with policy Ignore.

        Raises:
            ApiError: the webhook denies the request, or failed with policy Fail.
        """
        answer = None
        with self._failing(hook):
            review = reviews.review(request, found, reviews.version(hook.spec))
            answer = reviews.response(await self._caller.call(hook.spec, review), review)
        if answer is not None:
            _warn(answer.get("warnings") or ())
            if not answer.get("allowed"):
                raise reviews.denied(hook.name, answer.get("status") or {})
        return answer

    @contextmanager
    def _failing(self, hook: _Hook) -> Iterator[None]:
        """Apply the failure policy: ignore the webhook, or fail the request with 500."""
        try:
            yield
        except CallError as error:
            if not hook.may_fail:
                raise internal(f'Internal error occurred: failed calling webhook "{hook.name}": {error}') from error
            log.warning("webhook %s of %s failed and is ignored: %s", hook.name, hook.configuration, error)


def _warn(texts: Iterable[object]) -> None:
    if (warnings := WARNINGS.get()) is not None:
        warnings += [text for text in map(str, texts) if text not in warnings]
