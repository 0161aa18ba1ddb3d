"""Answers of the validating webhook: whether a resource that a client writes may be stored.

A resource for which `decode` or `validate` find a problem is denied here, with the fields concerned, so that nothing is
stored that would not be used. What only the rest of the cluster shows, such as a host that is missing, is a finding of
the analysis: manifests are applied one after another.

An update that leaves an invalid spec as it was is let through with warnings: what an older version of this lab has
stored can still be labelled, and lose its finalizers. Kubernetes does the same with schemas (validation ratcheting).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from mesh_lab.controlplane.admission.reviewing import Answer, asked_for, reviewed
from mesh_lab.controlplane.dialects import table
from mesh_lab.controlplane.dialects.table import Dialect
from mesh_lab.controlplane.istiokinds import KINDS, decode, validate
from mesh_lab.controlplane.model import DecodeError
from mesh_lab.controlplane.model.decoding import decode_as
from mesh_lab.controlplane.validation.common import Problem
from mesh_lab.controlplane.validation.metadata import metadata_problems
from mesh_lab.controlplane.world.kubernetes import Object

_INVALID = 400
_CHECKED = ("CREATE", "UPDATE")


class _Verdict(NamedTuple):
    errors: tuple[Problem, ...] = ()
    warnings: tuple[str, ...] = ()


def review(document: object) -> Answer:
    """Answer an AdmissionReview of a resource.

    The outcome is `passed`, `failed`, or `skipped` where there was nothing to check.

    Raises:
        ReviewError: the body is not an AdmissionReview.
    """
    request = asked_for(document)
    if request.get("operation") not in _CHECKED:
        return reviewed(document, "skipped")
    obj, old = request.get("object") or {}, request.get("oldObject") or {}
    verdict = _judge(obj)
    if verdict.errors and old and obj.get("spec") == old.get("spec"):
        left = tuple(f"invalid as before this change: {each.path}: {each.message}" for each in verdict.errors)
        verdict = _Verdict((), (*left, *verdict.warnings))
    errors = (*verdict.errors, *(each for each in _of_metadata(obj) if each not in _of_metadata(old)))
    if errors:
        return reviewed(document, "failed", allowed=False, status=_status(errors), warnings=list(verdict.warnings))
    return reviewed(document, "passed", warnings=list(verdict.warnings))


def _of_metadata(obj: Object) -> tuple[Problem, ...]:
    if not _is_istios(obj):
        return ()
    return tuple(metadata_problems(str(obj["kind"]), obj.get("metadata") or {}, obj.get("spec")))


def _is_known(obj: Object) -> bool:
    return _is_istios(obj) or _dialect_of(obj) is not None


def _dialect_of(obj: Object) -> Dialect | None:
    return table.owner(str(obj.get("apiVersion", "")).partition("/")[0], str(obj.get("kind", "")))


def _is_istios(obj: Object) -> bool:
    known = KINDS.get(str(obj.get("kind", "")))
    return known is not None and str(obj.get("apiVersion", "")).partition("/")[0] == known.group


def _judge(obj: Object) -> _Verdict:
    kind = str(obj.get("kind", ""))
    if not _is_known(obj):
        return _Verdict((), (f"{kind} is stored, but this control plane does not act on it",))
    dialect = _dialect_of(obj)
    try:
        stated = obj.get("spec")
        spec = decode_as(dialect.kinds[kind], stated) if dialect is not None else decode(kind, stated)
    except DecodeError as error:
        return _Verdict((Problem("error", error.path, error.message),))
    problems = dialect.check(_name(obj), spec) if dialect is not None else validate(spec)
    return _Verdict(
        tuple(each for each in problems if each.severity == "error"),
        tuple(f"{each.path}: {each.message}" for each in problems if each.severity != "error"),
    )


def _name(obj: Object) -> str:
    return str((obj.get("metadata") or {}).get("name", ""))


def _status(errors: tuple[Problem, ...]) -> Mapping[str, Any]:
    """In Istio's words, with the fields for programs as well."""
    texts = [f"{error.path}: {error.message}" for error in errors]
    lines = "\n\t* ".join((f"{len(texts)} errors occurred:", *texts))
    return {
        "code": _INVALID,
        "message": f"configuration is invalid: {texts[0] if len(texts) == 1 else lines}",
        "details": {
            "causes": [
                {"reason": "FieldValueInvalid", "field": error.path, "message": error.message} for error in errors
            ]
        },
    }
