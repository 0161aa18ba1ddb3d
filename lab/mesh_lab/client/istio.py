"""The status of Istio's control planes: each istiod is reached by a forwarded port."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from mesh_lab.client import forwarding, istiostatus
from mesh_lab.client.api import Api
from mesh_lab.client.connection import ClusterUnreachable
from mesh_lab.client.meshstatus import ConfigState, Finding, MeshState, ProxyState, ProxySync, Rejection, reaches
from mesh_lab.client.objects import Object, Reference
from mesh_lab.client.pods import is_ready

_ASK_SECONDS = 10.0
_PAUSE_SECONDS = 0.2
_REMARK = (
    "Istio does not tell which resource a rejected push comes from: it may be another one, and until that is corrected "
    "it is not known whether this one is live"
)
_UNANALYSED = "Istio's analysis of it is still to come: it takes up to {seconds:g} s"
_DRAINING = "connections that were open before may keep the old rules until they are drained, for up to {seconds:g} s"
_LISTED = (".istio.io", "gateway.networking.k8s.io")
"""The groups of what istiod lists in /debug/configz."""
_REFUSED = (
    "What the proxies had before stays. Istio names no resource; `istioctl analyze --all-namespaces`, or the latest "
    "change, may tell which one was rejected: correct or delete it."
)
_Answer = TypeVar("_Answer")


@dataclass
class IstioStatus:
    """Istio's control planes, each pod reached by a forwarded port: they answer only to their own loopback.

    `namespaces` are theirs. `analysis_s` is how long after a change an analysis has written what it has found; where
    `findings` is False it is not used.
    """

    api: Api
    namespaces: Sequence[str]
    analysis_s: float
    findings: bool = True
    refused: str = _REFUSED
    _ports: dict[tuple[str, str], int] = field(default_factory=dict)
    _known_since: dict[tuple[Reference, str], float] = field(default_factory=dict)
    _synced_since: dict[Reference, float] = field(default_factory=dict)
    _seen: dict[tuple[int, str], float] = field(default_factory=dict)
    _refused_since: float | None = None

    def mesh(self, *, wait: float = 0.0) -> MeshState:
        """See `MeshStatus`."""
        return self._until(self._mesh, lambda state: state.synced or state.hopeless, wait)

    def config(self, reference: Reference, version: str = "", *, wait: float = 0.0) -> ConfigState:
        """See `MeshStatus`. Istio does not tell which proxies a resource concerns, so every proxy counts."""
        state = self._until(lambda: self._config(reference, version), lambda now: now.live or now.hopeless, wait)
        if state.live:
            # The next wait is about another change, and has times of its own to settle and to drain.
            self._known_since.pop((reference, version), None)
            self._synced_since.pop(reference, None)
        return state

    def syncz(self) -> dict[str, object]:
        """What each istiod says of its proxies, by the name of its pod.

        Raises:
            ApiError: the API refuses the request, or an istiod does not answer.
        """
        return dict(self._each(istiostatus.SYNCZ))

    def _mesh(self) -> MeshState:
        return self._state_of(self._pods())

    def _pods(self) -> list[Object]:
        found: list[Object] = self.api.request("GET", istiostatus.PODS)["items"]
        return found

    def _state_of(self, pods: list[Object]) -> MeshState:
        try:
            reports = istiostatus.proxies(self._ask(istiostatus.SYNCZ), pods)
        except ValueError as error:
            raise ClusterUnreachable(str(error)) from error
        return MeshState(
            all(report.synced for report in reports),
            tuple(_sync(report) for report in reports),
            self._hopeless(reports),
        )

    def _hopeless(self, reports: list[istiostatus.ProxyReport]) -> bool:
        """Whether no proxy is pending and one has sent a NACK, for so long that no push that mends it is under way."""
        waiting = any(not report.connected or report.pending for report in reports if not report.errors)
        if waiting or not any(report.errors for report in reports):
            self._refused_since = None
            return False
        now = time.monotonic()
        self._refused_since = self._refused_since or now
        return now - self._refused_since >= istiostatus.SETTLE_SECONDS

    def _config(self, reference: Reference, wanted: str) -> ConfigState:
        documents = self._ask(istiostatus.CONFIGZ)
        known = self._versions(documents, reference)
        # If no istiod knows the resource, the question is whether every proxy is without it.
        gone = all(have is None for have in known)
        reached = gone or all(reaches(have, wanted) for have in known)
        now = time.monotonic()
        since = self._known_since.setdefault((reference, wanted), now) if reached else now
        if not reached:
            self._known_since.pop((reference, wanted), None)
        analysed, findings = self._analysis(reference) if self.findings else (True, ())
        analysed = analysed or gone or self._must_be_analysed(documents, known, now)
        pods = self._pods()
        mesh = self._state_of(pods)
        settled = reached and now - since >= istiostatus.SETTLE_SECONDS
        draining = self._draining(reference, pods, synced=settled and mesh.synced)
        live = settled and analysed and mesh.synced and not draining
        version = next((have for have in known if have is not None), "")
        return ConfigState(
            any(have is not None for have in known),
            live and not any(finding.severity == "error" for finding in findings),
            version,
            tuple(_state(proxy, settled=settled) for proxy in mesh.proxies),
            findings,
            self._remark(mesh, analysed=analysed or not reached, draining=draining),
        )

    def _remark(self, mesh: MeshState, *, analysed: bool, draining: float) -> str:
        if any(proxy.rejected for proxy in mesh.proxies):
            return _REMARK
        if not analysed:
            return _UNANALYSED.format(seconds=self.analysis_s)
        return _DRAINING.format(seconds=draining) if draining else ""

    def _versions(self, documents: list[object], reference: Reference) -> list[str | None]:
        """The version that each istiod knows; of a kind that none of them lists, the one that is stored."""
        if reference.group.endswith(_LISTED):
            which = (reference.kind, reference.namespace, reference.name, reference.group)
            return istiostatus.versions(documents, *which)
        stored = self.api.find(reference)
        return [None if stored is None else str(stored["metadata"]["resourceVersion"])]

    def _draining(self, reference: Reference, pods: list[Object], *, synced: bool) -> float:
        """The seconds for which connections with the old configuration are drained; 0 when that is over."""
        if not synced:
            self._synced_since.pop(reference, None)
            return 0.0
        since = self._synced_since.setdefault(reference, time.monotonic())
        everywhere = reference.namespace in self.namespaces
        concerned = [pod for pod in pods if everywhere or pod["metadata"]["namespace"] == reference.namespace]
        seconds = istiostatus.drain_s(reference.kind, concerned)
        return seconds if time.monotonic() - since < seconds else 0.0

    def _must_be_analysed(self, documents: list[object], known: list[str | None], now: float) -> bool:
        """Whether all istiods have had these versions for so long that an analysis has run.

        Arrival times are kept for all resources at once: to wait for many in turn takes one such time.
        """
        self._seen = {key: self._seen.get(key, now) for key in istiostatus.known(documents)}
        since = (self._seen.get((place, have), now) for place, have in enumerate(known) if have is not None)
        return now - max(since, default=now) >= self.analysis_s

    def _analysis(self, reference: Reference) -> tuple[bool, tuple[Finding, ...]]:
        """Whether Istio's analysis has written a status of the resource's present version, and what it has found."""
        stored = self.api.find(reference)
        if stored is None:
            return False, ()
        found = tuple(Finding(severity, text) for severity, text in istiostatus.findings(stored))
        return istiostatus.is_analysed(stored), found

    def _ask(self, path: str) -> list[object]:
        return [answer for _, answer in self._each(path)]

    def _each(self, path: str) -> list[tuple[str, object]]:
        """The name of every istiod that is ready, and its answer."""
        answers: list[tuple[str, object]] = []
        for namespace, pod in self._istiods():
            key = (namespace, pod)
            try:
                if key not in self._ports:
                    forward = forwarding.forwarded(self.api.kubectl_command(), namespace, pod, istiostatus.DEBUG_PORT)
                    self._ports[key] = self.api.keep(forward)
                answers.append((pod, forwarding.get(self._ports[key], path, timeout=_ASK_SECONDS)))
            except forwarding.ForwardError as error:
                self._ports.pop(key, None)
                raise ClusterUnreachable(f"{namespace}/{pod}: {error}") from error
        if not answers:
            raise ClusterUnreachable("no istiod is ready")
        return answers

    def _istiods(self) -> list[tuple[str, str]]:
        found = []
        for namespace in self.namespaces:
            pods = self.api.request("GET", f"/api/v1/namespaces/{namespace}/pods?labelSelector=app%3Distiod")["items"]
            found += [(namespace, str(pod["metadata"]["name"])) for pod in pods if is_ready(pod)]
        return found

    def _until(self, ask: Callable[[], _Answer], good: Callable[[_Answer], bool], wait: float) -> _Answer:
        deadline = time.monotonic() + wait
        while True:
            state = ask()
            if good(state) or time.monotonic() >= deadline:
                return state
            # Istio's debug pages show the present state; they cannot wait for a change.
            time.sleep(_PAUSE_SECONDS)


def _sync(report: istiostatus.ProxyReport) -> ProxySync:
    rejected = tuple(Rejection(kind, "", error) for kind, error in report.errors)
    return ProxySync(report.proxy, report.synced, "yes" if report.connected else None, report.pending, rejected)


def _state(proxy: ProxySync, *, settled: bool) -> ProxyState:
    if proxy.rejected:
        return ProxyState(proxy.proxy, "rejected", f"{proxy.rejected[0].type}: {proxy.rejected[0].error}")
    if proxy.connected is None:
        return ProxyState(proxy.proxy, "not-connected", istiostatus.ABSENT)
    if not settled or not proxy.synced:
        return ProxyState(proxy.proxy, "pending", ", ".join(proxy.pending))
    return ProxyState(proxy.proxy, "acknowledged")
