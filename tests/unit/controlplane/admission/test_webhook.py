"""AdmissionReviews in, AdmissionReviews out."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from mesh_lab.controlplane.admission.reviewing import ReviewError
from mesh_lab.controlplane.admission.webhook import review
from mesh_lab.controlplane.injection.injector import INIT, PROXY, Place


def asked(pod: dict[str, Any], namespace: str = "default") -> dict[str, Any]:
    request = {"uid": "u1", "namespace": namespace, "object": pod, "operation": "CREATE"}
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}


POD: dict[str, Any] = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "app", "image": "x"}]}}


def test_a_pod_is_patched() -> None:
    answer = review(asked(POD), Place())
    assert answer.outcome == "success"
    response = answer.review["response"]
    assert (response["uid"], response["allowed"], response["patchType"]) == ("u1", True, "JSONPatch")
    operations = json.loads(base64.b64decode(response["patch"]))
    containers = next(operation["value"] for operation in operations if operation["path"] == "/spec/initContainers")
    assert [container["name"] for container in containers] == [INIT, PROXY]


def test_a_pod_that_wants_none_is_let_through() -> None:
    pod = {**POD, "metadata": {"labels": {"sidecar.istio.io/inject": "false"}}}
    answer = review(asked(pod), Place())
    assert answer.outcome == "skip"
    assert answer.review["response"] == {"uid": "u1", "allowed": True}


def test_a_pod_that_cannot_get_what_it_asks_for_is_refused_with_the_reason() -> None:
    pod = {**POD, "metadata": {"annotations": {"traffic.sidecar.istio.io/excludeInboundPorts": "x"}}}
    answer = review(asked(pod), Place())
    assert answer.outcome == "failure"
    response = answer.review["response"]
    assert not response["allowed"]
    assert "excludeInboundPorts" in response["status"]["message"]


@pytest.mark.parametrize(
    "request_", [None, [], {}, {"request": 1}, {"request": {"uid": "u"}}, asked({}) | {"request": {}}]
)
def test_what_is_no_review_is_refused(request_: object) -> None:
    with pytest.raises(ReviewError):
        review(request_, Place())
