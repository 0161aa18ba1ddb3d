"""Tells the authors of resources what became of them: a status and an Event where a proxy refused the configuration.

Envoy keeps the last good version, so nobody would notice otherwise. The condition `Programmed` turns False with Envoy's
words on the resources that the refusal is due to, and True again once every proxy has what it should; findings of
the analysis stand in `validationMessages`, as with Istio. A status is written only when it changes, and a resource that
was never in trouble has none. https://istio.io/latest/docs/reference/config/config-status/
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol

from lab.controlplane.findings import Finding
from lab.controlplane.kinds import FOLLOWED
from lab.controlplane.kubeclient import EVENTS, ApiError, Kind, Object, Unreachable
from lab.controlplane.model import KINDS
from lab.controlplane.push import Pusher
from lab.controlplane.state import ClusterState, Key, Subject
from lab.controlplane.tracking import Remarks, Tracker

log = logging.getLogger(__name__)

CONDITION = "Programmed"
_PAUSE = 0.1
_LEVELS = {"error": "ERROR", "warning": "WARNING", "info": "INFO"}
_DOCUMENTATION = "https://istio.io/latest/docs/reference/config/analysis/"
_MOST_WORDS = 1024


class Api(Protocol):
    """What this needs of the API."""

    async def create(self, kind: Kind, obj: Object, namespace: str = "") -> Object:
        """Create an object."""

    async def merge(
        self, kind: Kind, name: str, patch: Mapping[str, Any], namespace: str = "", subresource: str = ""
    ) -> Object:
        """Patch an object."""


class Refusal(NamedTuple):
    """What proxies said of a resource; `proxies` are those that refused it."""

    message: str
    proxies: tuple[str, ...]


class Reporter:
    """Writes statuses and Events, at most every tenth of a second, from what the connections and the analysis say."""

    def __init__(self, api: Api, state: ClusterState, pusher: Pusher, tracker: Tracker, remarks: Remarks) -> None:
        self._api = api
        self._state = state
        self._pusher = pusher
        self._tracker = tracker
        self._remarks = remarks
        self._told: dict[Key, str] = {}

    async def run(self) -> None:
        """Report until cancelled."""
        progress, done = self._state.progress, 0
        while True:
            if progress.count == done:
                await progress.wait()
            await asyncio.sleep(_PAUSE)
            done = progress.count
            await self._report()

    async def _report(self) -> None:
        refusals = self._refusals()
        findings = self._remarks.on(self._state.latest)
        for key, subject in list(self._state.subjects.items()):
            refusal = refusals.get(key)
            status = self._status(key, subject, refusal, findings.get(key, ()))
            if status is not None:
                await self._write(key, status)
            if refusal is None:
                self._told.pop(key, None)
            elif self._told.get(key) != refusal.message:
                self._told[key] = refusal.message
                await self._tell(key, subject, refusal)

    def _refusals(self) -> dict[Key, Refusal]:
        """By the objects that caused them: those of Istio's kinds, for a Service is seldom at fault."""
        found: dict[Key, dict[str, set[str]]] = {}
        for connection in self._pusher.connections:
            for refused in connection.session.rejections().values():
                suspects = [origin.key for origin in refused.suspects if origin.kind in KINDS]
                suspects = suspects or [origin.key for origin in refused.resource.origins if origin.kind in KINDS]
                for key in suspects:
                    found.setdefault(key, {}).setdefault(refused.message, set()).add(connection.name)
        return {
            key: Refusal("; ".join(sorted(messages))[:_MOST_WORDS], tuple(sorted(set[str]().union(*messages.values()))))
            for key, messages in found.items()
        }

    def _status(
        self, key: Key, subject: Subject, refusal: Refusal | None, findings: Iterable[Finding]
    ) -> Object | None:
        """What to change of the status; None when it is as it should be."""
        patch: Object = {}
        condition = self._condition(key, subject, refusal)
        if condition is not None:
            others = [c for c in subject.status.get("conditions") or () if c.get("type") != CONDITION]
            patch["conditions"] = [*others, condition]
        messages = [_message(finding) for finding in findings]
        if messages != list(subject.status.get("validationMessages") or ()):
            patch["validationMessages"] = messages or None
        if patch and subject.generation:
            patch["observedGeneration"] = str(subject.generation)
        return patch or None

    def _condition(self, key: Key, subject: Subject, refusal: Refusal | None) -> Object | None:
        present = next((c for c in subject.status.get("conditions") or () if c.get("type") == CONDITION), None)
        if refusal is not None:
            wanted = ("False", "Rejected", f"refused by {_named(refusal.proxies)}: {refusal.message}")
        elif present is not None and present.get("status") == "False" and self._tracker.liveness(key).live:
            wanted = ("True", "Accepted", "every proxy that this concerns has accepted it")
        else:
            return None
        if present is not None and (present.get("status"), present.get("reason"), present.get("message")) == wanted:
            return None
        status, reason, message = wanted
        same = present is not None and present.get("status") == status
        since = present["lastTransitionTime"] if same and present and "lastTransitionTime" in present else _now()
        return {
            "type": CONDITION,
            "status": status,
            "reason": reason,
            "message": message,
            "lastTransitionTime": since,
        }

    async def _write(self, key: Key, status: Object) -> None:
        kind, namespace, name = key
        try:
            answer = await self._api.merge(FOLLOWED[kind], name, {"status": status}, namespace, "status")
        except (ApiError, Unreachable) as error:
            log.warning("writing the status of %s %s/%s: %s", kind, namespace, name, error)
            return
        # The watch will say so too, but later: without this the same would be written twice.
        subject = self._state.subjects.get(key)
        if subject is not None:
            self._state.subjects[key] = subject._replace(status=answer.get("status") or {})

    async def _tell(self, key: Key, subject: Subject, refusal: Refusal) -> None:
        kind, namespace, name = key
        digest = hashlib.blake2b(f"{subject.uid}{refusal.message}{_now()}".encode(), digest_size=8).hexdigest()
        event: Object = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{name}.{digest}", "namespace": namespace},
            "involvedObject": {
                "kind": kind,
                "namespace": namespace,
                "name": name,
                "uid": subject.uid,
                "apiVersion": subject.api_version,
            },
            "type": "Warning",
            "reason": "Rejected",
            "message": f"{_named(refusal.proxies)}: {refusal.message}",
            "source": {"component": "istiod"},
            "reportingComponent": "istiod",
            "firstTimestamp": _now(),
            "lastTimestamp": _now(),
            "count": 1,
        }
        try:
            await self._api.create(EVENTS, event, namespace)
        except (ApiError, Unreachable) as error:
            log.warning("creating an Event for %s %s/%s: %s", kind, namespace, name, error)


def _message(finding: Finding) -> Object:
    """Istio's AnalysisMessageBase, with the finding's own words."""
    return {
        "type": {"code": finding.code, "name": finding.code},
        "level": _LEVELS[finding.severity],
        "documentationUrl": f"{_DOCUMENTATION}{finding.code.lower()}/",
        "message": finding.message if finding.path in finding.message else f"{finding.path}: {finding.message}",
    }


def _named(proxies: tuple[str, ...]) -> str:
    shown = ", ".join(proxies[:3])
    return shown if len(proxies) <= 3 else f"{shown} and {len(proxies) - 3} more"


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
