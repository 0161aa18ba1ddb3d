"""Resources in, AdmissionReviews out: what is refused with its fields, what draws a warning, what is let through."""

from __future__ import annotations

from typing import Any

import pytest

from mesh_lab.controlplane.admission.reviewing import Answer, ReviewError
from mesh_lab.controlplane.admission.validating import review
from mesh_lab.controlplane.istiokinds import KINDS

GOOD: dict[str, Any] = {"hosts": ["echo"], "http": [{"route": [{"destination": {"host": "echo"}}]}]}
BAD_REGEX: dict[str, Any] = {
    "hosts": ["echo"],
    "http": [{"match": [{"uri": {"regex": "^(?!/api).*$"}}], "route": [{"destination": {"host": "echo"}}]}],
}
BAD_TEMPLATE: dict[str, Any] = {
    "action": "DENY",
    "rules": [{"to": [{"operation": {"methods": ["POST"], "paths": ["/a/{*}x"]}}]}],
}


def resource(spec: Any, kind: str = "VirtualService", version: str = "v1", group: str = "") -> dict[str, Any]:
    group = group or (KINDS[kind].group if kind in KINDS else "networking.istio.io")
    return {"apiVersion": f"{group}/{version}", "kind": kind, "metadata": {"name": "echo"}, "spec": spec}


def asked(obj: Any, old: Any = None, operation: str = "CREATE") -> Answer:
    request = {"uid": "u1", "operation": operation, "namespace": "default", "object": obj, "oldObject": old}
    return review({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request})


@pytest.mark.parametrize("version", ["v1", "v1beta1", "v1alpha3", "v7"])
def test_a_good_resource_passes_in_every_version(version: str) -> None:
    answer = asked(resource(GOOD, version=version))
    assert answer.outcome == "passed"
    assert answer.review["response"] == {"uid": "u1", "allowed": True}


@pytest.mark.parametrize(
    ("kind", "spec", "field"),
    [
        ("VirtualService", BAD_REGEX, "spec.http[0].match[0].uri"),
        ("VirtualService", {**GOOD, "colour": "red"}, "spec"),
        ("VirtualService", {"hosts": 1}, "spec.hosts"),
        ("AuthorizationPolicy", BAD_TEMPLATE, "spec.rules[0].to[0].operation.paths"),
        ("DestinationRule", {"host": "a b"}, "spec.host"),
        ("Gateway", {"servers": []}, "spec.servers"),
        ("Sidecar", {"egress": [{"hosts": ["nowhere"]}]}, "spec.egress[0].hosts[0]"),
        ("PeerAuthentication", {"portLevelMtls": {"80": {"mode": "STRICT"}}}, "spec.portLevelMtls"),
    ],
)
def test_what_is_wrong_is_refused_with_its_field(kind: str, spec: dict[str, Any], field: str) -> None:
    answer = asked(resource(spec, kind))
    assert answer.outcome == "failed"
    response = answer.review["response"]
    assert response["allowed"] is False
    assert f"configuration is invalid: {field}" in response["status"]["message"]
    assert response["status"]["details"]["causes"][0]["field"] == field
    assert answer.refusal == response["status"]["message"]


def test_several_mistakes_are_reported_at_once() -> None:
    spec = {"hosts": ["a b", "c d"], "http": GOOD["http"]}
    message = asked(resource(spec)).refusal
    assert message.startswith("configuration is invalid: 2 errors occurred:\n\t* spec.hosts[0]: ")
    assert "\n\t* spec.hosts[1]: " in message


def test_what_has_no_effect_draws_a_warning() -> None:
    spec = {"hosts": ["echo"], "http": [{**GOOD["http"][0], "fault": {"abort": {"httpStatus": 503}}}]}
    response = asked(resource(spec)).review["response"]
    assert response["allowed"]
    assert response["warnings"] == ["spec.http[0].fault.abort.percentage: without a percentage, no request is aborted"]


@pytest.mark.parametrize(
    ("kind", "group"),
    [("Gizmo", "networking.istio.io"), ("Gateway", "gateway.networking.k8s.io"), ("Telemetry", "x.istio.io")],
)
def test_what_is_not_acted_on_is_let_through_and_said(kind: str, group: str) -> None:
    response = asked(resource({"anything": 1}, kind, group=group)).review["response"]
    assert response["allowed"]
    assert response["warnings"] == [f"{kind} is stored, but this control plane does not act on it"]


def test_what_was_stored_invalid_can_be_labelled_and_mended_and_not_made_worse() -> None:
    old = resource(BAD_REGEX)
    labelled = {**old, "metadata": {"name": "echo", "labels": {"a": "b"}, "finalizers": []}}
    response = asked(labelled, old, "UPDATE").review["response"]
    assert response["allowed"]
    assert response["warnings"][0].startswith("invalid as before this change: spec.http[0].match[0].uri")
    assert asked(resource(GOOD), old, "UPDATE").review["response"]["allowed"]
    worse = resource({**BAD_REGEX, "hosts": ["echo", "other"]})
    assert not asked(worse, old, "UPDATE").review["response"]["allowed"]


def test_a_deletion_is_nobodys_business() -> None:
    assert asked(None, resource(BAD_REGEX), "DELETE").outcome == "skipped"


@pytest.mark.parametrize("document", [None, [], {}, {"request": 1}, {"request": {}}, {"request": {"uid": 1}}])
def test_what_is_no_review_is_refused(document: object) -> None:
    with pytest.raises(ReviewError):
        review(document)


@pytest.mark.parametrize("obj", [{}, {"kind": "VirtualService"}, resource(None), resource([]), resource("x")])
def test_whatever_an_object_looks_like_there_is_an_answer(obj: Any) -> None:
    assert asked(obj).review["response"]["uid"] == "u1"


DRY_RUN = "istio.io/dry-run"


def annotated(kind: str, spec: Any, value: str, **metadata: Any) -> dict[str, Any]:
    made = resource(spec, kind)
    return {**made, "metadata": {"name": "echo", "annotations": {DRY_RUN: value}, **metadata}}


@pytest.mark.parametrize(
    ("obj", "words"),
    [
        (annotated("VirtualService", GOOD, "true"), "VirtualService has no dry run"),
        (annotated("AuthorizationPolicy", {"rules": [{}]}, "maybe"), 'invalid value "maybe"'),
        (annotated("AuthorizationPolicy", {"action": "AUDIT", "rules": [{}]}, "true"), "found action AUDIT"),
        ({**resource({"servers": []}, "Gateway"), "metadata": {"name": "a.b"}}, 'invalid gateway name: "a.b"'),
    ],
)
def test_names_and_annotations_are_held_to_istios_rules(obj: dict[str, Any], words: str) -> None:
    assert words in asked(obj).refusal
    # What was there before may stay, and what is put there is looked at whether or not the spec changes.
    assert words not in asked(obj, obj, "UPDATE").refusal
    assert words in asked(obj, {**obj, "metadata": {"name": "echo"}}, "UPDATE").refusal


def test_a_dry_run_of_a_policy_is_fine() -> None:
    assert asked(annotated("AuthorizationPolicy", {"rules": [{}]}, "true")).outcome == "passed"
