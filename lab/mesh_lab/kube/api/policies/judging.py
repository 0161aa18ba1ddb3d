"""What a policy says of one request, given its parameters.

https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mesh_lab.kube.registry.cel.admission import Evaluation, Input, conditions_hold
from mesh_lab.kube.registry.cel.expressions import EvaluationError

_LONGEST_MESSAGE = 5 * 1024
_LONGEST_ANNOTATION = 10 * 1024


@dataclass(frozen=True)
class Objection:
    """An expression that a request does not fulfil, or that has no value under `failurePolicy: Fail`."""

    message: str
    reason: str = "Invalid"
    index: int = 0
    always: bool = False
    """Whether it denies the request whatever the binding's actions are."""


@dataclass(frozen=True)
class Verdict:
    """The objections of a policy, and what it has to say to the audit log."""

    objections: tuple[Objection, ...] = ()
    annotations: tuple[tuple[str, str], ...] = ()


def judge(spec: Mapping[str, Any], given: Input) -> Verdict:
    """Evaluate the conditions, validations and audit annotations of a policy's spec."""
    evaluation = Evaluation(given, {one["name"]: one["expression"] for one in spec.get("variables") or ()})
    fails = spec.get("failurePolicy", "Fail") == "Fail"
    try:
        # Conditions come before the variables, and cannot read them.
        if not conditions_hold(spec.get("matchConditions") or (), Evaluation(given)):
            return Verdict()
    except EvaluationError as error:
        return Verdict((Objection(str(error)),) if fails else ())
    objections = [
        objection
        for index, one in enumerate(spec.get("validations") or ())
        if (objection := _validate(one, index, evaluation, fails)) is not None
    ]
    annotations: list[tuple[str, str]] = []
    for one in spec.get("auditAnnotations") or ():
        try:
            annotations += _annotate(one, evaluation)
        except EvaluationError as error:
            if fails:
                objections.append(Objection(str(error), always=True))
    return Verdict(tuple(objections), tuple(annotations))


def _validate(validation: Mapping[str, Any], index: int, evaluation: Evaluation, fails: bool) -> Objection | None:
    try:
        if evaluation.evaluate(validation["expression"]) is True:
            return None
    except EvaluationError as error:
        return Objection(str(error), index=index) if fails else None
    return Objection(_message(validation, evaluation), validation.get("reason") or "Invalid", index)


def _message(validation: Mapping[str, Any], evaluation: Evaluation) -> str:
    """What to tell the client; an expression that gives no message of one line does not count."""
    if expression := validation.get("messageExpression"):
        try:
            text = evaluation.evaluate(expression)
        except EvaluationError:
            text = ""
        text = text.strip() if isinstance(text, str) else ""
        if text and "\n" not in text and len(text.encode()) <= _LONGEST_MESSAGE:
            return text
    return validation.get("message", "").strip() or f"failed expression: {validation['expression'].strip()}"


def _annotate(annotation: Mapping[str, Any], evaluation: Evaluation) -> Iterator[tuple[str, str]]:
    text = annotation["valueExpression"]
    value = evaluation.evaluate(text)
    if isinstance(value, str):
        if value.strip():
            yield annotation["key"], value.strip()[:_LONGEST_ANNOTATION]
    elif value is not None:
        why = "resulted in unsupported return type. Return type must be either string or null."
        raise EvaluationError(f"valueExpression '{text}' {why}")
