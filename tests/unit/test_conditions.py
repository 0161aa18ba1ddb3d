"""A condition keeps the time since which its status holds."""

from __future__ import annotations

from mesh_lab.conditions import condition, find, updated

BEFORE = [
    {"type": "Ready", "status": "True", "lastTransitionTime": "then"},
    {"type": "Custom", "status": "False", "lastTransitionTime": "then"},
]


def test_the_time_stays_while_the_status_does() -> None:
    assert condition(BEFORE, "Ready", "True", "Fine", now="now")["lastTransitionTime"] == "then"
    assert condition(BEFORE, "Ready", "False", now="now")["lastTransitionTime"] == "now"
    assert condition(None, "Ready", "True", now="now")["lastTransitionTime"] == "now"


def test_empty_reason_and_message_are_left_out() -> None:
    assert condition((), "Ready", "True", now="now") == {"type": "Ready", "status": "True", "lastTransitionTime": "now"}
    made = condition((), "Ready", "False", "Slow", "it waits", now="now")
    assert (made["reason"], made["message"]) == ("Slow", "it waits")


def test_conditions_of_other_types_stay() -> None:
    ready = condition(BEFORE, "Ready", "False", now="now")
    assert updated(BEFORE, ready) == [BEFORE[1], ready]
    assert updated(None, ready) == [ready]


def test_a_condition_is_found_by_its_type() -> None:
    assert find(BEFORE, "Custom") == BEFORE[1]
    assert find(BEFORE, "Other") == find(None, "Ready") == {}
