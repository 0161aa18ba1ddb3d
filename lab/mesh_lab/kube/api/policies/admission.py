"""Holds requests to the ValidatingAdmissionPolicies that bindings put in force, before the validating webhooks.

The lab has no audit log: what a policy says to it stands in the lab's own (`mesh-lab logs`).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mesh_lab.kube.api.auth.authorizer import Authorizer
from mesh_lab.kube.api.context import WARNINGS
from mesh_lab.kube.api.policies.judging import Objection, judge
from mesh_lab.kube.api.policies.params import ParamsError, collect
from mesh_lab.kube.api.webhooks.conditions import request_input
from mesh_lab.kube.api.webhooks.matching import Match, match_resources
from mesh_lab.kube.changes import Object
from mesh_lab.kube.errors import ApiError, Cause
from mesh_lab.kube.registry.cel.admission import Input
from mesh_lab.kube.registry.cel.expressions import EvaluationError
from mesh_lab.kube.registry.options import Admission, AdmissionRequest
from mesh_lab.kube.registry.registry import Registry
from mesh_lab.kube.resources import NAMESPACES, POLICIES, POLICY_BINDINGS

log = logging.getLogger(__name__)

_EXEMPT = frozenset({POLICIES.key, POLICY_BINDINGS.key})
"""Kinds that are exempt from policies: a policy must not block its own correction."""
_CODES = {"Unauthorized": 401, "Forbidden": 403, "RequestEntityTooLarge": 413}


@dataclass(frozen=True)
class _Denial:
    """What the client is told of the first objection that denies its request."""

    policy: str
    binding: str
    objection: Objection

    def error(self, request: AdmissionRequest) -> ApiError:
        """The answer to the request."""
        binding = f" with binding '{self.binding}'" if self.binding else ""
        words = f"ValidatingAdmissionPolicy '{self.policy}'{binding} denied request: {self.objection.message}"
        resource, reason = request.resource, self.objection.reason
        name = request.name or "Unknown"
        return ApiError(
            _CODES.get(reason, 422),
            reason,
            f'{resource.key} "{name}" is forbidden: {words}',
            causes=(Cause("", words, ""),),
            details={"name": name, "group": resource.group, "kind": resource.plural},
        )


class Policies:
    """Implements the registry's `Admission`: policies first, then what is `inner`."""

    def __init__(self, inner: Admission, registry: Registry, authorizer: Authorizer) -> None:
        self.inner = inner
        self._registry = registry
        self._authorizer = authorizer

    async def mutate(self, request: AdmissionRequest) -> Object | None:
        """See `Admission.mutate`."""
        return await self.inner.mutate(request)

    async def validate(self, request: AdmissionRequest) -> bool:
        """See `Admission.validate`.

        Raises:
            ApiError: a policy denies the request; of several, the client is told of the first by name.
        """
        if request.resource.key not in _EXEMPT:
            denial = next(self._denials(request), None)
            if denial is not None:
                raise denial.error(request)
        return await self.inner.validate(request)

    def _denials(self, request: AdmissionRequest) -> Iterator[_Denial]:
        bindings = self._registry.list(POLICY_BINDINGS)
        if not bindings:
            return
        # All are asked before the first is told: each has warnings and words for the audit log of its own.
        yield from [
            denial for policy in self._registry.list(POLICIES) for denial in self._denials_of(policy, bindings, request)
        ]

    def _denials_of(self, policy: Object, bindings: list[Object], request: AdmissionRequest) -> Iterator[_Denial]:
        spec, name = policy["spec"], policy["metadata"]["name"]
        bound = [one for one in bindings if one["spec"].get("policyName") == name]
        found = match_resources(self._registry, spec.get("matchConstraints") or {}, request) if bound else None
        if found is None:
            return
        for binding in bound:
            wanted = binding["spec"].get("matchResources")
            if wanted is None or match_resources(self._registry, wanted, request, any_resource=True) is not None:
                yield from self._judge(policy, binding, found, request)

    def _judge(self, policy: Object, binding: Object, found: Match, request: AdmissionRequest) -> Iterator[_Denial]:
        spec, name = policy["spec"], policy["metadata"]["name"]
        bound = binding["metadata"]["name"]
        try:
            params = collect(self._registry, spec.get("paramKind"), binding["spec"].get("paramRef"), request.namespace)
            given = self._input(found, request) if params else None
        except (ParamsError, EvaluationError) as error:
            if spec.get("failurePolicy", "Fail") == "Fail":
                yield _Denial(name, bound, Objection(f"failed to configure binding: {error}"))
            return
        actions = binding["spec"].get("validationActions") or ()
        for one in params:
            assert given is not None
            try:
                verdict = judge(spec, given.with_params(one) if spec.get("paramKind") else given)
            except EvaluationError as error:
                yield _Denial(name, bound, Objection(str(error)))
                continue
            for key, value in verdict.annotations:
                log.info("audit annotation %s/%s: %s", name, key, value)
            for objection in verdict.objections:
                _act(actions, name, bound, objection)
                if "Deny" in actions or objection.always:
                    yield _Denial(name, bound, objection)

    def _input(self, found: Match, request: AdmissionRequest) -> Input:
        namespace = None
        if request.namespace and request.resource.key != NAMESPACES.key:
            namespace = self._registry.find(NAMESPACES, request.namespace)
        return request_input(found, request, self._authorizer, namespace)


def _act(actions: Any, policy: str, binding: str, objection: Objection) -> None:
    """Warn the client and tell the audit log, as far as the binding wants it."""
    if "Warn" in actions and (warnings := WARNINGS.get()) is not None:
        text = (
            f"Validation failed for ValidatingAdmissionPolicy '{policy}' with binding '{binding}': {objection.message}"
        )
        if text not in warnings:
            warnings.append(text)
    if "Audit" in actions:
        failure = {
            "message": objection.message,
            "policy": policy,
            "binding": binding,
            "expressionIndex": objection.index,
            "validationActions": list(actions),
        }
        log.info("audit annotation validation.policy.admission.k8s.io/validation_failure: %s", json.dumps([failure]))
