"""The table of dialects: each kind has its facts, its definition, its rights and its rules."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from mesh_lab.controlplane.admission.validating import review
from mesh_lab.controlplane.dialects import table
from mesh_lab.controlplane.dialects.consul import definitions, kinds
from mesh_lab.controlplane.kube.kinds import FOLLOWED, WANTED
from mesh_lab.install.dialects import DEFINITIONS
from mesh_lab.meshkinds import CONSUL, DIALECTS, KINDS

ROOT = Path(__file__).parents[4]


def test_the_table_has_exactly_the_names_that_settings_may_have() -> None:
    assert tuple(table.DIALECTS) == tuple(WANTED) == DIALECTS


def test_each_of_consuls_kinds_has_a_type_and_is_followed() -> None:
    assert set(table.DIALECTS["consul"].kinds) == {kind.name for kind in CONSUL} == set(kinds.__all__)
    assert all(FOLLOWED[kind.name].group == kind.group for kind in CONSUL)
    assert set(CONSUL) <= set(KINDS)


def test_the_definitions_are_those_that_the_types_make() -> None:
    file = ROOT / "manifests" / DEFINITIONS["consul"]
    assert list(yaml.safe_load_all(file.read_text())) == definitions.definitions()


def test_istiod_may_read_them_write_their_statuses_and_is_asked_about_them() -> None:
    documents = list(yaml.safe_load_all((ROOT / "manifests" / "mesh" / "base.yaml").read_text()))
    (role,) = (
        each for each in documents if each["metadata"]["name"] == "istiod-clusterrole-istio-system" and "rules" in each
    )
    granted = {
        (r, verb)
        for rule in role["rules"]
        if CONSUL[0].group in rule["apiGroups"]
        for r in rule["resources"]
        for verb in rule["verbs"]
    }
    assert {("*", "watch"), ("*/status", "patch")} <= granted
    hooks = [
        hook for each in documents if each["kind"] == "ValidatingWebhookConfiguration" for hook in each["webhooks"]
    ]
    assert len(hooks) == 2
    assert all(CONSUL[0].group in hook["rules"][0]["apiGroups"] for hook in hooks)


@pytest.mark.parametrize(
    ("kind", "name", "spec", "words"),
    [
        ("ServiceSplitter", "a", {"splits": [{"weight": 50}]}, "must add up to 100 percent"),
        ("ProxyDefaults", "a", {}, 'must be "global"'),
        ("ServiceResolver", "a", {"failovers": {}}, "failovers"),
    ],
)
def test_admission_refuses_what_is_wrong(kind: str, name: str, spec: dict[str, object], words: str) -> None:
    obj = {"apiVersion": "consul.hashicorp.com/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}
    request = {"uid": "1", "operation": "CREATE", "object": obj}
    answer = review({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request})
    assert answer.outcome == "failed"
    assert words in answer.refusal
