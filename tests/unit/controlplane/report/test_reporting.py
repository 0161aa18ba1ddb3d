"""Statuses that others wrote, or pruned: they are read for what is in them, and not written over and over."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh_lab.controlplane.delivery.state import ClusterState
from mesh_lab.controlplane.kube.events import Subject
from mesh_lab.controlplane.process.faults import Faults
from mesh_lab.controlplane.report import statuses
from mesh_lab.controlplane.report.reporting import Nack, Reporter
from mesh_lab.controlplane.world.findings import Finding
from mesh_lab.controlplane.world.kubernetes import Origin
from tests.unit.controlplane.mesh import Mesh, meshed, service, virtual_service

KEY = ("VirtualService", "default", "vs")
MISSING = Finding("error", "IST0101", "no such host", "spec.hosts[0]", Origin(*KEY))
TYPE = {"code": "IST0101", "name": "ReferencedResourceNotFound"}
URL = "https://istio.io/latest/docs/reference/config/analysis/ist0101/"
# As Istio 1.30 writes it: the number of a generation, a message without its words.
ISTIODS = {
    "observedGeneration": 1,
    "validationMessages": [{"type": TYPE, "level": "ERROR", "documentationUrl": URL + "?ref=status-controller"}],
    "conditions": [{"type": "PassedValidation", "status": "False", "reason": "errorsFound", "message": "Errors found"}],
}


def prune(obj: dict[str, Any]) -> dict[str, Any]:
    """What the schema of Istio's definitions leaves of a status."""
    pruned = copy.deepcopy(obj)
    for message in pruned.get("status", {}).get("validationMessages") or ():
        for name in message.keys() - {"type", "level", "documentationUrl"}:
            del message[name]
    return pruned


@pytest.fixture
async def plane(tmp_path: Path) -> AsyncIterator[Mesh]:
    async with meshed(tmp_path) as mesh:
        mesh.api.prune = prune
        mesh.findings.append(MISSING)
        yield mesh


def conditions(plane: Mesh) -> dict[str, str]:
    stored = plane.api.find("virtualservices", "vs", "default") or {}
    return {c["type"]: c["status"] for c in stored.get("status", {}).get("conditions") or ()}


async def settled(plane: Mesh, name: str) -> None:
    """The reporter has looked at everything once more, after a change that concerns nothing."""
    await plane.api.put("services", service(name))
    await plane.live("Service", name)
    plane.findings.append(Finding("warning", "IST0132", name, "spec", Origin("VirtualService", "default", "other")))
    await plane.api.put("services", service(f"{name}-2"))

    def reported() -> bool:
        other = plane.api.find("virtualservices", "other", "default") or {}
        return name in str(other.get("status", {}).get("conditions"))

    await plane.api.until(reported)


async def test_a_status_that_is_pruned_is_written_once_and_read_by_the_next_life(plane: Mesh) -> None:
    await plane.api.put("virtualservices", virtual_service("other", "web"))
    await plane.api.put("virtualservices", virtual_service("vs", "web"))
    await plane.api.until(lambda: conditions(plane) == {"HasFindings": "True"})
    await plane.api.until(
        lambda: any(e["reason"] == TYPE["name"] for e in plane.api.objects.get("events", {}).values())
    )
    await settled(plane, "a")
    await settled(plane, "b")
    assert plane.api.writes.count(("virtualservices", "vs")) == 1
    await plane.kill()
    await plane.start()
    await settled(plane, "c")
    assert plane.api.writes.count(("virtualservices", "vs")) <= 2
    mine = [e for e in plane.api.objects["events"].values() if e["reason"] == TYPE["name"]]
    assert [(e["involvedObject"]["name"], e["count"]) for e in mine] == [("vs", 1)]
    plane.findings[:] = [each for each in plane.findings if each is not MISSING]
    await plane.api.put("services", service("d"))
    await plane.api.until(lambda: conditions(plane) == {})


async def test_a_status_that_a_real_istiod_wrote_is_read_and_its_conditions_stay(plane: Mesh) -> None:
    await plane.kill()
    stored = virtual_service("vs", "web")
    stored["status"] = ISTIODS
    await plane.api.put("virtualservices", stored)
    await plane.start()
    await plane.api.until(lambda: conditions(plane) == {"PassedValidation": "False", "HasFindings": "True"})


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
TEXT = st.sampled_from(["Programmed", "HasFindings", "False", "True", "Rejected", "1", "ReferencedResourceNotFound"])
PART = st.dictionaries(
    st.sampled_from(["type", "status", "reason", "message", "lastTransitionTime", "name", "code", "level"]),
    TEXT | st.dictionaries(st.sampled_from(["name", "code"]), TEXT | JSON, max_size=2) | JSON,
)
STATUS = JSON | st.fixed_dictionaries(
    {},
    optional={
        "conditions": st.lists(PART | JSON, max_size=3) | JSON,
        "validationMessages": st.lists(PART | JSON, max_size=3) | JSON,
        "observedGeneration": TEXT | JSON,
    },
)


class NotLive:
    """A tracker's answer."""

    live = False

    def liveness(self, _: Any) -> NotLive:
        return self


@settings(deadline=None, max_examples=300)
@given(STATUS)
def test_any_status_is_read(status: Any) -> None:
    nothing: Any = None
    tracker: Any = NotLive()
    state = ClusterState()
    reporter = Reporter(nothing, state, nothing, tracker, nothing, Faults())
    parts = status if isinstance(status, dict) else {}
    subject = state.subjects[KEY] = Subject("uid", "v1", 1, parts)
    assert reporter._was_blamed(KEY) in (True, False)
    for nack in (None, Nack("bad", ("a.default",))):
        for found in ([], [MISSING]):
            patch = reporter._status(KEY, subject, nack, found, found)
            merged = {**parts, **{key: value for key, value in (patch or {}).items() if value is not None}}
            after = subject._replace(status={k: v for k, v in merged.items() if (patch or {}).get(k, v) is not None})
            assert reporter._status(KEY, after, nack, found, found) is None, "what is written stays"
    assert isinstance(statuses.read(status).observed_generation, str)
