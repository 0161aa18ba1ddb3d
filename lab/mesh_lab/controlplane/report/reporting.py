"""Reports on Istio's resources to their authors, in the resources' status and in Events.

Envoy keeps the last good version of what it rejects (NACK), so a bad one would go unnoticed otherwise. The condition
`Programmed` turns False with Envoy's message on the resources that caused the NACK, and True again once every proxy has
what it should. What the analysis finds stands in `validationMessages`, as with Istio; errors and warnings among it make
the condition `HasFindings` as well, which is there for as long as they are. Each NACK and each such finding is an
Event, once for each time that it comes up, if it stays: manifests are applied one after another, and an Event is not
taken back. A status is written only when it changes, and a resource that was never in trouble has none.
https://istio.io/latest/docs/reference/config/config-status/
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from mesh_lab import conditions
from mesh_lab.controlplane.delivery.messages import Rejection
from mesh_lab.controlplane.delivery.push import Pusher
from mesh_lab.controlplane.delivery.state import ClusterState
from mesh_lab.controlplane.delivery.tracking import Remarks, Tracker
from mesh_lab.controlplane.istiokinds import KINDS
from mesh_lab.controlplane.kube import events
from mesh_lab.controlplane.kube.client import ApiError, Object, Unreachable
from mesh_lab.controlplane.kube.events import Key, Subject
from mesh_lab.controlplane.kube.kinds import FOLLOWED
from mesh_lab.controlplane.process.faults import Faults
from mesh_lab.controlplane.report import statuses
from mesh_lab.controlplane.world.findings import NAMES, Finding
from mesh_lab.controlplane.world.kubernetes import Origin

log = logging.getLogger(__name__)

PROGRAMMED = "Programmed"
HAS_FINDINGS = "HasFindings"
_REJECTED = "Rejected"
_PAUSE = 0.1
_LEVELS = {"error": "ERROR", "warning": "WARNING", "info": "INFO"}
_GRAVE = ("error", "warning")
_DOCUMENTATION = "https://istio.io/latest/docs/reference/config/analysis/"
_MOST_WORDS = 1024
_NOT_FOUND = 404
_STAYS = 1.0  # seconds after which a finding is no longer one of a change that is still under way

Reported = tuple[str, str]
"""Reason and message of an Event."""


class Nack(NamedTuple):
    """The NACKs of a resource; `proxies` are those that sent one."""

    message: str
    proxies: tuple[str, ...]


class Reporter:
    """Writes statuses and Events, at most every tenth of a second, from the connections and the analysis."""

    def __init__(
        self,
        api: events.Api,
        state: ClusterState,
        pusher: Pusher,
        tracker: Tracker,
        remarks: Remarks,
        faults: Faults,
    ) -> None:
        self._faults = faults
        self._api = api
        self._state = state
        self._pusher = pusher
        self._tracker = tracker
        self._remarks = remarks
        # What was written into a status, and what it contained afterwards.
        self._written: dict[Key, tuple[Object, Mapping[str, Any]]] = {}
        self._events: dict[Key, dict[Reported, float | None]] = {}  # when the Event is due; None when it is made

    async def run(self) -> None:
        """Report until cancelled."""
        progress, done = self._state.progress, 0
        while True:
            if progress.count == done:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout_at(self._next_due()):
                        await progress.wait()
            await asyncio.sleep(_PAUSE)
            done = progress.count
            await self._report()

    def _next_due(self) -> float | None:
        return min((due for each in self._events.values() for due in each.values() if due is not None), default=None)

    async def _report(self) -> None:
        nacks = self._nacks()
        findings = self._remarks.on(self._state.latest)
        for gone in self._events.keys() - self._state.subjects.keys():
            del self._events[gone]
            self._written.pop(gone, None)
        for key, subject in list(self._state.subjects.items()):
            if not self._state.reports_on(key[1]):
                continue
            try:
                await self._report_on(key, subject, nacks.get(key), findings.get(key, ()))
            except Exception as error:  # noqa: BLE001 - one resource is not to keep the others from being reported on
                self._faults.record("reporting on {} {}/{}".format(*key), error)

    async def _report_on(self, key: Key, subject: Subject, nack: Nack | None, found: Sequence[Finding]) -> None:
        grave = sorted((f for f in found if f.severity in _GRAVE), key=lambda f: _GRAVE.index(f.severity))
        status = self._status(key, subject, nack, found, grave)
        new = status is not None and self._written.get(key) != (_intent(status), subject.status)
        if status is not None and new and not await self._write(key, status):
            return
        await self._make_events(key, subject, nack, grave)

    async def _make_events(self, key: Key, subject: Subject, nack: Nack | None, grave: Sequence[Finding]) -> None:
        now = asyncio.get_running_loop().time()
        before = self._events.get(key)
        if before is None:  # what an earlier run of this process has put into the status, it has made an Event of, too
            status = statuses.read(subject.status)
            before = {each: None for each in ((f.name, f.text) for f in grave) if _is_stated(status, *each)}
        due_of = {each: before.get(each, now + _STAYS) for each in ((f.name, f.text) for f in grave)}
        if nack is not None:
            due_of[_REJECTED, nack.message] = before.get((_REJECTED, nack.message), now)
        self._events[key] = due_of
        for (reason, message), due in due_of.items():
            if due is not None and due <= now:
                senders = f"{_named(nack.proxies)}: " if nack is not None and reason == _REJECTED else ""
                await events.warn(self._api, key, subject, reason, senders + message)
                due_of[reason, message] = None

    def _nacks(self) -> dict[Key, Nack]:
        """The NACKs by the objects that caused them: those of Istio's kinds, for a Service is seldom at fault.

        For a proxy that never had a good version only the origins of the bad one are known. Of these, the objects that
        other NACKs, or an earlier status, name as the cause are at fault; if there are none, all of them may be.
        """
        found: dict[Key, dict[str, set[str]]] = {}
        sure: dict[str, set[Key]] = {}
        unsure: list[tuple[str, Rejection]] = []

        def blame(keys: Iterable[Key], rejection: Rejection, proxy: str) -> None:
            for key in keys:
                found.setdefault(key, {}).setdefault(rejection.message, set()).add(proxy)

        for connection in self._pusher.connections:
            for rejection in connection.session.rejections().values():
                suspects = _of_istio(rejection.suspects)
                if suspects and rejection.suspects != rejection.resource.origins:
                    blame(suspects, rejection, connection.name)
                    sure.setdefault(rejection.resource.name, set()).update(suspects)
                else:
                    unsure.append((connection.name, rejection))
        for key, refusal in self._state.refused.items():
            found.setdefault(key, {}).setdefault(refusal.message, set()).add(refusal.proxy)
        for proxy, rejection in unsure:
            origins = _of_istio(rejection.resource.origins)
            blamed = sure.get(rejection.resource.name, set())
            known = [key for key in origins if key in blamed or self._was_blamed(key)]
            blame(known or origins, rejection, proxy)
        return {
            key: Nack("; ".join(sorted(messages))[:_MOST_WORDS], tuple(sorted(set[str]().union(*messages.values()))))
            for key, messages in found.items()
        }

    def _was_blamed(self, key: Key) -> bool:
        """Whether the object's status names it, in its present version, as the cause of a NACK."""
        subject = self._state.subjects.get(key)
        if subject is None:
            return False
        status = statuses.read(subject.status)
        return status.observed_generation == str(subject.generation) and any(
            each.get("reason") == _REJECTED and each.get("status") == "False" for each in status.conditions
        )

    def _status(
        self, key: Key, subject: Subject, nack: Nack | None, found: Iterable[Finding], grave: Sequence[Finding]
    ) -> Object | None:
        """Istiod's part of the status, to be written; None when it is as it should be."""
        present = statuses.read(subject.status)
        ours = {
            PROGRAMMED: self._programmed(key, present.condition(PROGRAMMED), nack),
            HAS_FINDINGS: _has_findings(present.condition(HAS_FINDINGS), grave),
        }
        messages = [_message(finding) for finding in found]
        kept = all(condition == present.condition(name) for name, condition in ours.items())
        if kept and messages == list(present.messages):
            return None
        others = conditions.others(present.conditions, *ours)
        patch: Object = {
            "conditions": [*others, *filter(None, ours.values())] or None,
            "validationMessages": messages or None,
        }
        if subject.generation:
            patch["observedGeneration"] = str(subject.generation)
        return patch

    def _programmed(self, key: Key, present: statuses.Part | None, nack: Nack | None) -> statuses.Part | None:
        if nack is not None:
            text = f"rejected by {_named(nack.proxies)}: {nack.message}"
            return _condition(present, PROGRAMMED, "False", _REJECTED, text)
        if present is not None and present.get("status") == "False" and self._tracker.liveness(key).live:
            return _condition(present, PROGRAMMED, "True", "Accepted", "every proxy that this concerns has accepted it")
        return present

    async def _write(self, key: Key, status: Object) -> bool:
        """Write a status; False when the resource has been deleted, which the watch is about to report."""
        kind, namespace, name = key
        try:
            answer = await self._api.merge(FOLLOWED[kind], name, {"status": status}, namespace, "status")
        except (ApiError, Unreachable) as error:
            if isinstance(error, ApiError) and error.status == _NOT_FOUND:
                return False
            log.warning("writing the status of %s %s/%s: %s", kind, namespace, name, error)
            return True
        # The watch reports it too, but later: without this the same would be written twice.
        subject = self._state.subjects.get(key)
        if subject is not None:
            after = answer.get("status")
            subject = self._state.subjects[key] = subject._replace(status=after if isinstance(after, Mapping) else {})
            # A definition may prune what was written: the same is not written again and again then.
            self._written[key] = (_intent(status), subject.status)
        return True


def _of_istio(origins: Iterable[Origin]) -> list[Key]:
    return [origin.key for origin in origins if origin.kind in KINDS]


def _intent(status: Object) -> Object:
    """The content of a change to the status, without its times."""
    stable = [{k: v for k, v in each.items() if k != conditions.TRANSITION} for each in status.get("conditions") or ()]
    return {**status, "conditions": stable}


def _has_findings(present: statuses.Part | None, grave: Sequence[Finding]) -> statuses.Part | None:
    if not grave:
        return None
    text = "; ".join(finding.text for finding in grave)[:_MOST_WORDS]
    return _condition(present, HAS_FINDINGS, "True", grave[0].name, text)


def _condition(present: statuses.Part | None, kind: str, status: str, reason: str, message: str) -> statuses.Part:
    """The condition with this content; one that has it already stays as it is."""
    wanted = {"type": kind, "status": status, "reason": reason, "message": message}
    if present is not None and wanted.items() <= present.items():
        return present
    return conditions.condition([present] if present is not None else (), kind, status, reason, message)


def _is_stated(status: statuses.Status, name: str, text: str) -> bool:
    """Whether a status contains the finding already: then its Event has been made.

    It is in a message or, where a CRD prunes the messages' text, in the condition.
    """
    stated = statuses.text_of(status.condition(HAS_FINDINGS) or {}, "message")
    return any(
        statuses.name_of(each) == name
        and (text in stated if "message" not in each else text == statuses.text_of(each, "message"))
        for each in status.messages
    )


def _message(finding: Finding) -> Object:
    """Istio's AnalysisMessageBase, with the finding's own words."""
    return {
        "type": {"code": finding.code, "name": finding.name},
        "level": _LEVELS[finding.severity],
        # Istio's pages are of its own codes.
        "documentationUrl": f"{_DOCUMENTATION}{finding.code.lower()}/" if finding.code in NAMES else _DOCUMENTATION,
        "message": finding.text,
    }


def _named(proxies: tuple[str, ...]) -> str:
    shown = ", ".join(proxies[:3])
    return shown if len(proxies) <= 3 else f"{shown} and {len(proxies) - 3} more"
