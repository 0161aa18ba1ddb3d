"""What of a status is written, and what stays."""

from __future__ import annotations

from typing import Any

from mesh_lab.controlplane.report.gatewaystatuses import merged
from mesh_lab.controlplane.xds.gatewayapi.sources import CONTROLLER

OLD = "2020-01-01T00:00:00Z"


def condition(status: str, reason: str = "Accepted", **more: Any) -> dict[str, Any]:
    return {"type": "Accepted", "status": status, "reason": reason, "message": "", "observedGeneration": 1, **more}


def entry(name: str, controller: str, *conditions: dict[str, Any]) -> dict[str, Any]:
    return {"parentRef": {"name": name}, "controllerName": controller, "conditions": list(conditions)}


def test_what_says_the_same_is_not_written() -> None:
    present = {"conditions": [condition("True", lastTransitionTime=OLD)]}
    assert merged(present, {"conditions": [condition("True")]}) is None
    changed = merged(present, {"conditions": [condition("True", "ListenersNotValid")]})
    assert changed is not None
    assert changed["conditions"][0]["lastTransitionTime"] == OLD
    turned = merged(present, {"conditions": [condition("False", "Invalid")]})
    assert turned is not None
    assert turned["conditions"][0]["lastTransitionTime"] > OLD


def test_other_controllers_entries_stay() -> None:
    theirs = entry("a", "example.com/theirs")
    ours = entry("a", CONTROLLER, condition("True", lastTransitionTime=OLD))
    present = {"parents": [theirs, ours]}
    assert merged(present, {"parents": [entry("a", CONTROLLER, condition("True"))]}) is None
    made = merged(present, {"parents": [entry("b", CONTROLLER, condition("True"))]})
    assert made is not None
    assert [each["parentRef"]["name"] for each in made["parents"]] == ["a", "b"]
    assert merged(present, None) == {"parents": [theirs]}
    assert merged({"parents": [theirs]}, None) is None


def test_listeners_keep_the_times_of_their_conditions() -> None:
    def listener(*conditions: dict[str, Any]) -> dict[str, Any]:
        return {"name": "http", "attachedRoutes": 1, "conditions": list(conditions)}

    present = {"listeners": [listener(condition("True", lastTransitionTime=OLD))]}
    wanted = {"listeners": [{**listener(condition("True")), "attachedRoutes": 2}]}
    made = merged(present, wanted)
    assert made is not None
    assert made["listeners"][0]["conditions"][0]["lastTransitionTime"] == OLD
