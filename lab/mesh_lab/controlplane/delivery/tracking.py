"""Whether a resource is live: whether the proxies it concerns have acknowledged what was made of it.

A resource as of a version is live when a snapshot includes that version (or a later one), every connected proxy has
been given what that snapshot says, and has acknowledged all of it that the resource has a part in, or had in what the
proxy held before. A ready pod whose proxy is not connected serves an unknown configuration: it keeps the resource from
being live, and so does an error in the resource itself. A resource that concerns no proxy is live once a snapshot
includes it; one that is gone, once no proxy holds it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, NamedTuple

from mesh_lab.controlplane.delivery.push import Connection, Pusher
from mesh_lab.controlplane.delivery.state import ClusterState
from mesh_lab.controlplane.kube.events import Key
from mesh_lab.controlplane.process.faults import Faults
from mesh_lab.controlplane.world.findings import Finding
from mesh_lab.controlplane.world.snapshot import Snapshot

Failed = Callable[[str, Exception], object]
"""Takes what was under way when something failed, and the failure."""

Analysis = Callable[[Snapshot, Failed], Iterable[Finding]]
State = Literal["acknowledged", "pending", "rejected", "not-connected"]


class ProxyState(NamedTuple):
    """Where one proxy stands with a resource. `error` is that of Envoy's NACK, or says what the proxy lacks."""

    proxy: str
    state: State
    error: str = ""


class Liveness(NamedTuple):
    """Where all proxies stand with a resource."""

    found: bool
    resource_version: str
    proxies: tuple[ProxyState, ...]
    findings: tuple[Finding, ...]
    live: bool

    @property
    def hopeless(self) -> bool:
        """Only an edit can make it live: it is in error, or every proxy has answered and one with a NACK."""
        states = {proxy.state for proxy in self.proxies}
        return ("rejected" in states and "pending" not in states) or _in_error(self.findings)

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "found": self.found,
            "resource_version": self.resource_version,
            "live": self.live,
            "proxies": [proxy._asdict() for proxy in self.proxies],
            "findings": [
                {"severity": f.severity, "code": f.code, "message": f.message, "path": f.path} for f in self.findings
            ],
        }


class Remarks:
    """The analysis' findings by object, made once a snapshot."""

    def __init__(self, analysis: Analysis, faults: Faults) -> None:
        self._analysis = analysis
        self._faults = faults
        self._snapshot: Snapshot | None = None
        self._found: dict[Key, tuple[Finding, ...]] = {}

    def on(self, snapshot: Snapshot) -> Mapping[Key, tuple[Finding, ...]]:
        """The findings of a snapshot."""
        if self._snapshot is not snapshot:
            self._found = {}
            for finding in self._made(snapshot):
                self._found[finding.origin.key] = (*self._found.get(finding.origin.key, ()), finding)
            self._snapshot = snapshot
        return self._found

    def _made(self, snapshot: Snapshot) -> Iterable[Finding]:
        try:
            return self._analysis(snapshot, self._faults.record)
        except Exception as error:  # noqa: BLE001 - what is known without it is reported all the same
            self._faults.record("analysing", error)
            return [finding for findings in snapshot.invalid.values() for finding in findings]


class Tracker:
    """Answers for resources, from the connections' sessions."""

    def __init__(self, state: ClusterState, pusher: Pusher, remarks: Remarks) -> None:
        self._state = state
        self._pusher = pusher
        self._remarks = remarks

    def liveness(self, key: Key, at_least: str | None = "") -> Liveness:
        """Where a resource stands. `at_least` is the version that must be included; None when it must be gone."""
        known = self._state.included(key)
        found = known is not None
        included = (known is None) if at_least is None else (known is not None and _reaches(known[0], at_least))
        snapshot = known.snapshot if known is not None else self._state.gone_since(key)
        proxies = tuple(self._proxies(key, snapshot))
        findings = self._remarks.on(self._state.latest).get(key, ())
        settled = self._state.complete and included and self._state.latest.version >= snapshot
        blocked = any(proxy.state != "acknowledged" for proxy in proxies)
        return Liveness(
            found,
            known.resource_version if known else "",
            proxies,
            findings,
            settled and not blocked and not _in_error(findings),
        )

    def _proxies(self, key: Key, snapshot: int) -> Iterable[ProxyState]:
        mesh_wide = key == self._state.settings_key
        for connection in self._pusher.connections:
            state = _settings_state(connection, snapshot) if mesh_wide else _state(connection, key, snapshot)
            if state is not None:
                yield state
        for pod in self._pusher.concerns_absent(key):
            yield ProxyState(f"{pod.name}.{pod.namespace}", "not-connected", "its pod is ready, its stream is not open")

    def proxies(self) -> list[dict[str, Any]]:
        """Every proxy, and what it has not acknowledged."""
        latest = self._state.latest.version
        rows = []
        for connection in self._pusher.connections:
            pending = connection.session.pending()
            rejected = connection.session.rejections()
            rows.append(
                {
                    "proxy": connection.name,
                    "kind": connection.proxy.kind,
                    "connected": connection.connected_at.isoformat(timespec="milliseconds"),
                    "synced": not pending and connection.session.snapshot == latest,
                    "snapshot": connection.session.snapshot,
                    "pending": [f"{url.rpartition('.')[2]} {name}" for url, name in pending],
                    "rejected": [
                        {"type": url.rpartition(".")[2], "name": name, "error": bad.message}
                        for (url, name), bad in rejected.items()
                    ]
                    + [{"type": "", "name": "all that is new", "error": connection.fault}][: bool(connection.fault)],
                }
            )
        rows += [
            {"proxy": f"{pod.name}.{pod.namespace}", "kind": pod.kind, "connected": None, "synced": False}
            for pod, _ in self._pusher.absent()
        ]
        return rows

    def synced(self) -> dict[str, Any]:
        """Whether every proxy has acknowledged everything; `hopeless`, whether only an edit can bring that about."""
        proxies = self.proxies()
        settled = self._state.complete and self._state.settled
        synced = settled and all(row["synced"] for row in proxies)
        return {
            "synced": synced,
            "hopeless": settled and not synced and self._all_have_answered(proxies),
            "snapshot": self._state.latest.version,
            "proxies": proxies,
        }

    def _all_have_answered(self, proxies: list[dict[str, Any]]) -> bool:
        """Whether every proxy is there, and has answered each part of the latest snapshot (ACK or NACK)."""
        return all(row["connected"] is not None for row in proxies) and all(
            bool(connection.fault)
            or (
                connection.session.snapshot == self._state.latest.version
                and connection.session.rejections().keys() >= {*connection.session.pending()}
            )
            for connection in self._pusher.connections
        )


def _state(connection: Connection, key: Key, snapshot: int) -> ProxyState | None:
    """None when the resource does not concern the proxy."""
    session = connection.session
    if session.snapshot < snapshot and connection.fault:
        return ProxyState(connection.name, "rejected", f"it keeps the configuration that it has: {connection.fault}")
    if session.snapshot < snapshot:
        return ProxyState(connection.name, "pending", "its configuration is being generated")
    lacking, rejected = session.behind(key, snapshot)
    if rejected:
        return ProxyState(connection.name, "rejected", "; ".join(sorted({bad.message for bad in rejected})))
    if lacking:
        names = ", ".join(f"{url.rpartition('.')[2]} {name}" for url, name in lacking)
        return ProxyState(connection.name, "pending", f"not yet acknowledged: {names}")
    return ProxyState(connection.name, "acknowledged") if session.concerns(key) else None


def _settings_state(connection: Connection, snapshot: int) -> ProxyState:
    """Of the mesh's settings every part of a configuration may be made: all of it must be acknowledged."""
    if connection.session.snapshot < snapshot:
        return ProxyState(connection.name, "pending", "its configuration is being generated")
    if rejected := connection.session.rejections():
        return ProxyState(connection.name, "rejected", "; ".join(sorted({bad.message for bad in rejected.values()})))
    if pending := connection.session.pending():
        names = ", ".join(f"{url.rpartition('.')[2]} {name}" for url, name in pending)
        return ProxyState(connection.name, "pending", f"not yet acknowledged: {names}")
    return ProxyState(connection.name, "acknowledged")


def _reaches(version: str, wanted: str) -> bool:
    """Compare resource versions as numbers. Since Kubernetes 1.35 clients may rely on that; all API servers count."""
    if version.isdigit() and wanted.isdigit():
        return int(version) >= int(wanted)
    return not wanted or version == wanted


def _in_error(findings: tuple[Finding, ...]) -> bool:
    return any(finding.severity == "error" for finding in findings)
