"""What a test reports when its pods do not come up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mesh_lab.harness.mesh import Mesh

Items = dict[str, Any]


class StuckApi:
    """An API on which a Deployment never rolls out."""

    def path(self, api_version: str, kind: str, namespace: str) -> str:
        return f"{api_version}/{kind}/{namespace}"

    def wait_until(
        self,
        path: str,
        condition: Callable[[Items], bool],
        *,
        timeout: float,
        why: str,
        describe: Callable[[Items], str],
    ) -> Items:
        items = {"echo": {"metadata": {"generation": 1}, "spec": {}, "status": {}}}
        assert not condition(items)
        raise TimeoutError(f"not within {timeout:g} s: {why} ({path})\n{describe(items)}")

    def list_all(self, api_version: str, kind: str, namespace: str) -> list[Any]:
        def event(kind: str, name: str, reason: str, type_: str = "Warning") -> Any:
            about = {"kind": kind, "name": name}
            return {
                "involvedObject": about,
                "type": type_,
                "reason": reason,
                "message": f"{reason} it",
                "lastTimestamp": "",
            }

        if kind == "Event":
            return [
                event("Pod", "echo-1", "FailedScheduling"),
                event("ReplicaSet", "echo", "FailedCreate"),
                event("Pod", "echo-1", "Pulled", "Normal"),
            ]
        ended = {"terminated": {"exitCode": 3, "message": "no more"}}
        return [
            {
                "metadata": {"name": "echo-1"},
                "status": {"phase": "Running", "containerStatuses": [{"name": "app", "state": {}, "lastState": ended}]},
            }
        ]


def test_the_events_and_last_words_of_pods_are_in_the_message_of_a_timeout() -> None:
    with pytest.raises(TimeoutError) as late:
        Mesh(StuckApi(), "ns").ready(1.0)  # type: ignore[arg-type]
    report = str(late.value)
    assert "  event of Pod echo-1: FailedScheduling: FailedScheduling it" in report
    assert "  event of ReplicaSet echo: FailedCreate: FailedCreate it" in report
    assert "    app ended before: {'exitCode': 3, 'message': 'no more'}" in report
    assert "Pulled" not in report
