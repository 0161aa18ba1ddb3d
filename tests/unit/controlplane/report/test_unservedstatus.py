from __future__ import annotations

from typing import Any

import pytest

from mesh_lab.controlplane.report import unservedstatus

NOW = "2026-01-01T00:00:00Z"
API, TRIED_OUT = unservedstatus.GATEWAY_API
ISTIO = "networking.istio.io"
SAID = {"status": "False", "reason": "NotActedOn", "message": "no", "lastTransitionTime": NOW, "observedGeneration": 3}
DEFAULT = {"type": "Accepted", "status": "Unknown", "reason": "Pending", "message": "Waiting for controller"}


def made(spec: dict[str, Any], **status: Any) -> dict[str, Any]:
    return {"metadata": {"name": "x", "generation": 3}, "spec": spec, "status": status}


def said(kind: str) -> dict[str, Any]:
    return {"type": kind, **SAID}


def version(*fields: str, subresource: bool = True) -> dict[str, Any]:
    status: dict[str, Any] = {"properties": {field: {} for field in fields}}
    schema = {"openAPIV3Schema": {"properties": {"status": status}}}
    return {"subresources": {"status": {}} if subresource else {}, "schema": schema}


@pytest.mark.parametrize(
    ("found", "shape"),
    [
        (version("conditions", "listeners"), "conditions"),
        (version("parents"), "parents"),
        (version("ancestors"), "ancestors"),
        (version(), "conditions"),
        ({"subresources": {"status": {}}}, "conditions"),
        (version("conditions", subresource=False), None),
    ],
)
def test_the_schema_tells_in_which_field_a_kind_says_how_it_is(found: dict[str, Any], shape: str | None) -> None:
    assert unservedstatus.shape_of(found) == shape


def test_a_gateway_of_istio_is_neither_accepted_nor_programmed() -> None:
    both = {"conditions": [said("Accepted"), said("Programmed")]}
    for present in ([], [DEFAULT]):
        gateway = made({"gatewayClassName": "istio"}, conditions=present)
        assert unservedstatus.of("conditions", API, gateway, "no", NOW) == both
    own = made({"controllerName": "istio.io/gateway-controller"})
    assert unservedstatus.of("conditions", API, own, "no", NOW) == {"conditions": [said("Accepted")]}


def test_policies_that_are_tried_out_are_told_of_at_their_targets() -> None:
    target = {"group": "", "kind": "Service", "name": "s"}
    policy = made({"targetRefs": [target]})
    entry = {
        "ancestorRef": target,
        "controllerName": "istio.io/gateway-controller",
        "conditions": [said("Accepted")],
    }
    assert unservedstatus.of("ancestors", TRIED_OUT, policy, "no", NOW) == {"ancestors": [entry]}


@pytest.mark.parametrize(
    "spec", [{"gatewayClassName": "eg"}, {"controllerName": "gateway.envoyproxy.io/gatewayclass-controller"}]
)
def test_what_another_controller_is_in_charge_of_is_not_changed(spec: dict[str, Any]) -> None:
    assert unservedstatus.of("conditions", API, made(spec), "no", NOW) is None


def test_what_another_controller_has_written_is_not_changed() -> None:
    theirs = {"type": "Accepted", "status": "True", "reason": "Accepted", "message": "", "lastTransitionTime": NOW}
    gateway = made({"gatewayClassName": "istio"}, conditions=[theirs])
    assert unservedstatus.of("conditions", API, gateway, "no", NOW) is None


def test_a_route_says_so_for_each_of_its_parents_beside_other_controllers() -> None:
    theirs = {"parentRef": {"name": "b"}, "controllerName": "example.com/other", "conditions": []}
    route = made({"parentRefs": [{"name": "a"}, {"name": "b"}]}, parents=[theirs])
    ours = [
        {"parentRef": {"name": name}, "controllerName": unservedstatus.CONTROLLER, "conditions": [said("Accepted")]}
        for name in ("a", "b")
    ]
    assert unservedstatus.of("parents", API, route, "no", NOW) == {"parents": [theirs, *ours]}


def test_a_policy_says_so_for_each_of_its_targets() -> None:
    target = {"group": "", "kind": "Service", "name": "a"}
    found = unservedstatus.of("ancestors", API, made({"targetRefs": [target]}), "no", NOW)
    assert found is not None
    assert [entry["ancestorRef"] for entry in found["ancestors"]] == [target]


def test_other_conditions_of_an_istio_resource_stay() -> None:
    other = {"type": "Reconciled", "status": "True"}
    found = unservedstatus.of("conditions", ISTIO, made({}, conditions=[other]), "no", NOW)
    assert found == {"conditions": [other, said("Programmed")]}


@pytest.mark.parametrize(
    ("shape", "group", "spec"),
    [
        ("conditions", ISTIO, {}),
        ("conditions", API, {"gatewayClassName": "istio"}),
        ("parents", API, {"parentRefs": [{"name": "a"}]}),
    ],
)
def test_nothing_is_written_twice_though_a_definition_prunes_the_generation(
    shape: str, group: str, spec: dict[str, Any]
) -> None:
    first = unservedstatus.of(shape, group, made(spec), "no", NOW)
    assert first is not None
    for entry in first[shape]:
        for condition in entry.get("conditions", [entry]):
            condition.pop("observedGeneration", None)
    assert unservedstatus.of(shape, group, made(spec, **first), "no", "2027-01-01T00:00:00Z") is None


@pytest.mark.parametrize("status", [None, "x", [], {"parents": "x"}, {"parents": [1]}])
def test_a_status_of_any_form_is_survived(status: object) -> None:
    route = {"metadata": {"name": "x"}, "spec": None, "status": status}
    unservedstatus.of("parents", API, route, "no", NOW)
