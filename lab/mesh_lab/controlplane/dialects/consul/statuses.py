"""Statuses as consul-k8s writes them: the condition Synced, and when it was last so.

Synced is True when the object is in effect. What is doubtful is told by a further condition, HasFindings, as on Istio's
kinds. https://developer.hashicorp.com/consul/docs/k8s/crds#verify
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mesh_lab import conditions
from mesh_lab.controlplane.dialects.consul.findings import findings
from mesh_lab.controlplane.world.findings import Finding
from mesh_lab.controlplane.world.snapshot import Snapshot

Object = dict[str, Any]

SYNCED, HAS_FINDINGS = "Synced", "HasFindings"
_REFUSED = "ConsulAgentError"
"""consul-k8s' reason where Consul's servers refuse an entry."""
_LAST = "lastSyncedTime"
_LONGEST = 1024


def statuses(snapshot: Snapshot) -> Mapping[tuple[str, str, str], Object]:
    """The conditions of each object, without their times."""
    by_object: dict[tuple[str, str, str], list[Finding]] = {}
    for finding in findings(snapshot):
        by_object.setdefault(finding.origin.key, []).append(finding)
    return {
        resource.origin.key: {"conditions": _conditions(by_object.get(resource.origin.key, []))}
        for table in snapshot.dialects.values()
        for resource in table.values()
    }


def _conditions(found: list[Finding]) -> list[Object]:
    errors = [finding for finding in found if finding.severity == "error"]
    warnings = [finding for finding in found if finding.severity == "warning"]
    made: list[Object] = [{"type": SYNCED, "status": "False" if errors else "True"}]
    if errors:
        made[0] |= {"reason": _REFUSED, "message": _words(errors)}
    if warnings:
        made.append({"type": HAS_FINDINGS, "status": "True", "reason": warnings[0].name, "message": _words(warnings)})
    return made


def _words(found: list[Finding]) -> str:
    return "; ".join(dict.fromkeys(finding.text for finding in found))[:_LONGEST]


def written(present: Mapping[str, Any], wanted: Object | None, now: str) -> Object | None:
    """The status to write, with its times; None where the present one says the same."""
    if wanted is None:
        return None
    before = [each for each in present.get("conditions") or () if isinstance(each, Mapping)]
    made = [
        conditions.condition(
            before, each["type"], each["status"], each.get("reason", ""), each.get("message", ""), now=now
        )
        for each in wanted["conditions"]
    ]
    if made == [dict(each) for each in before]:
        return None
    return {"conditions": made, _LAST: now if made[0]["status"] == "True" else present.get(_LAST)}
