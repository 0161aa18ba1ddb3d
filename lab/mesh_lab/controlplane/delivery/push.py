"""From a change to the proxies: debounces, takes a snapshot, gives each connected proxy what it should have.

The first change after a quiet time is pushed at once, and to the proxies first that the last changes were for: people
edit one thing again and again. Changes that follow closely wait for one another.

A proxy's stream takes it from there at its own pace (`delta`): between two snapshots there is no queue, a proxy that is
slow gets the latest only.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

from mesh_lab.controlplane.delivery import secrets
from mesh_lab.controlplane.delivery.blame import culprit
from mesh_lab.controlplane.delivery.delta import Session
from mesh_lab.controlplane.delivery.identity import Unauthenticated
from mesh_lab.controlplane.delivery.machines import Machine
from mesh_lab.controlplane.delivery.messages import Desired
from mesh_lab.controlplane.delivery.state import ClusterState
from mesh_lab.controlplane.kube.events import Key
from mesh_lab.controlplane.process.faults import Faults
from mesh_lab.controlplane.process.metrics import Metrics
from mesh_lab.controlplane.trust.ca import Leaf
from mesh_lab.controlplane.trust.root import Trust
from mesh_lab.controlplane.world.fleet import ProxyPod
from mesh_lab.controlplane.world.kubernetes import ObjectKey, Pod
from mesh_lab.controlplane.world.proxy import Proxy
from mesh_lab.controlplane.world.snapshot import Snapshot
from mesh_lab.controlplane.xds.built import Built
from mesh_lab.controlplane.xds.peers import pack_verified
from mesh_lab.controlplane.xds.typeurls import SDS

# Translation: pure, and quick where little has changed.
Generate = Callable[[Snapshot, Proxy], Mapping[str, Mapping[str, Built]]]

log = logging.getLogger(__name__)

# Clocks are set, machines sleep: look at the certificate's dates at least this often.
_LONGEST_WAIT = 60.0


class Connection:
    """One proxy's stream: what it should have, what it has, and its certificate."""

    _numbers = itertools.count(1)

    def __init__(self, pod: ProxyPod, view: Pod, proxy: Proxy, machine: Machine | None = None) -> None:
        """A stream of a pod's proxy, or of one that is part of none: `machine`."""
        self.id = next(self._numbers)
        self.machine = machine
        self.pod = pod
        self.view = view
        self.proxy = proxy
        self.session = Session()
        self.connected_at = datetime.now(UTC)
        self.leaf: Leaf | None = None
        self.own: Built | None = None
        self.closing = ""
        self.closed = False
        # The last snapshot at which it lacked something.
        self.changed_by = 0
        # Why its configuration could not be made; it keeps the last one.
        self.fault = ""
        self._wake = asyncio.Event()

    @property
    def name(self) -> str:
        """The name in reports: `pod.namespace`."""
        return f"{self.proxy.pod}.{self.proxy.namespace}"

    def wake(self) -> None:
        """Let the stream look whether there is something to send."""
        self._wake.set()

    def close(self, reason: str) -> None:
        """End the stream."""
        self.closing = self.closing or reason
        self.closed = True
        self.wake()

    @property
    def needs_certificate(self) -> bool:
        """Half of its certificate's life is over."""
        return self.leaf is not None and self.leaf.renew_at <= datetime.now(UTC)

    async def idle(self) -> None:
        """Wait until woken, or until the session or the certificate is due."""
        waits = [_LONGEST_WAIT]
        if self.session.wake_at is not None:
            waits.append(self.session.wake_at - asyncio.get_running_loop().time())
        if self.leaf is not None:
            waits.append((self.leaf.renew_at - datetime.now(UTC)).total_seconds())
        try:
            async with asyncio.timeout(max(min(waits), 0)):
                await self._wake.wait()
        except TimeoutError:
            return
        self._wake.clear()


class Pusher:
    """Keeps all connected proxies up to date."""

    def __init__(
        self,
        state: ClusterState,
        trust: Trust,
        generate: Generate,
        metrics: Metrics,
        faults: Faults,
        *,
        issue_for: timedelta,
        debounce: tuple[float, float],
        remembering: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        """`remembering` lends the memory of what `generate` made: secrets are found by the same objects."""
        self._state = state
        self._trust = trust
        self._issue_for = issue_for
        self._debounce, self._debounce_max = debounce
        self._metrics = metrics
        self._faults = faults
        self._generate_for = generate
        self._remembering = remembering
        self._connections: dict[int, Connection] = {}
        self._absent: dict[ObjectKey, tuple[Pod, Proxy]] = {}
        self._pushed_at = -math.inf

    @property
    def connections(self) -> tuple[Connection, ...]:
        """All that are connected now, the oldest first."""
        return tuple(self._connections.values())

    async def run(self) -> None:
        """Push until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._renew_all())
            changed, done = self._state.changed, 0
            while True:
                if changed.count == done:
                    await changed.wait()
                await self._wait_debounced()
                done = changed.count
                try:
                    await self._push()
                except Exception as error:  # noqa: BLE001 - the next change may be the one that puts it right
                    self._faults.record("making a snapshot", error)

    def connect(
        self,
        pod: ProxyPod,
        view: Pod,
        node_id: str,
        metadata: Mapping[str, str] | None = None,
        machine: Machine | None = None,
    ) -> Connection:
        """Add a proxy that has connected; its token has proved its pod or, of a machine, its account."""
        for other in self.connections:
            if other.pod.uid == pod.uid:
                other.close("its proxy has opened another stream")
                self._connections.pop(other.id)
        snapshot = self._state.latest
        connection = Connection(pod, view, self._proxy(pod, view, snapshot, node_id, metadata, machine), machine)
        self._connections[connection.id] = connection
        self._metrics.connected(len(self._connections))
        if self._attempt(connection, snapshot) is not None:
            self._state.changed.fire()  # a push finds out what is at fault
        return connection

    def disconnect(self, connection: Connection) -> None:
        """Remove a proxy whose stream has ended."""
        self._connections.pop(connection.id, None)
        self._metrics.connected(len(self._connections))
        self._state.progress.fire()

    def refresh_secrets(self, connection: Connection) -> None:
        """Give a proxy the secrets that it subscribes to, renewing its certificate when half of its life is over."""
        wanted = connection.session.names(SDS)
        found: dict[str, Built] = {}
        with self._remembering():
            for name in wanted:
                secret = self._secret(connection, name)
                if secret is not None:
                    found[name] = secret
        connection.session.set_secrets(found)

    def absent(self) -> Iterator[tuple[ProxyPod, Desired | None]]:
        """Ready pods whose proxy is not connected, with what it should have: it may serve something older.

        None where that cannot be made.
        """
        snapshot = self._state.latest
        connected = {(c.pod.namespace, c.pod.name) for c in self._connections.values()}
        fleet = self._state.fleet.pods
        for key in [key for key in self._absent if key in connected or key not in fleet]:
            del self._absent[key]
        for key, pod in fleet.items():
            view = snapshot.pods.get(key)
            if key in connected or not pod.ready or view is None:
                continue
            known = self._absent.get(key)
            if known is None or known[0] is not view:
                known = self._absent[key] = (view, self._proxy(pod, view, snapshot))
            try:
                desired = self._generate_for(snapshot, known[1])
            except Exception as error:  # noqa: BLE001 - when it connects, a push finds out what is at fault
                self._faults.record(f"translating for {pod.name}.{pod.namespace}", error)
                yield pod, None
            else:
                yield pod, desired

    def concerns_absent(self, key: Key) -> list[ProxyPod]:
        """Those of the absent proxies that an object has a part in."""
        return [
            pod
            for pod, desired in self.absent()
            if desired is None
            or any(
                origin.key == key
                for built in desired.values()
                for resource in built.values()
                for origin in resource.origins
            )
        ]

    def _secret(self, connection: Connection, name: str) -> Built | None:
        if name == secrets.OWN:
            if connection.own is None or connection.needs_certificate:
                proxy = connection.proxy
                leaf = self._trust.authority.issue_workload(proxy.principal, self._issue_for, pack_verified(proxy))
                connection.leaf, connection.own = leaf, secrets.own(leaf)
                self._metrics.issued()
            return connection.own
        if name == secrets.ROOTS:
            return secrets.roots(self._trust.authority.roots)
        return secrets.credential(self._state.latest, connection.proxy, name)

    def _proxy(
        self,
        pod: ProxyPod,
        view: Pod,
        snapshot: Snapshot,
        node_id: str = "",
        metadata: Mapping[str, str] | None = None,
        machine: Machine | None = None,
    ) -> Proxy:
        domain = snapshot.mesh.trust_domain
        made = Proxy.of(view, pod.kind, node_id=node_id, trust_domain=domain, metadata=metadata)
        return made if machine is None else replace(made, machine=view)

    async def _renew_all(self) -> None:
        """Renew all certificates: another authority signs, or there is another root to trust."""
        while True:
            await self._trust.changed.wait()
            for connection in self.connections:
                connection.own = None
                self.refresh_secrets(connection)
                connection.wake()

    async def _wait_debounced(self) -> None:
        """Debounce: wait until no more changes have come for a while, or they have gone on for too long.

        The first one after a quiet time does not wait, except for what the same read has brought.
        """
        if time.monotonic() > self._pushed_at + self._debounce_max:
            await asyncio.sleep(0)
            return
        deadline = time.monotonic() + self._debounce_max
        seen = -1
        while seen != self._state.changed.count and time.monotonic() < deadline:
            seen = self._state.changed.count
            await asyncio.sleep(self._debounce)

    async def _push(self) -> None:
        started = time.monotonic()
        while not await self._give_all(self._state.snapshot()):
            pass
        self._state.progress.fire()
        self._pushed_at = time.monotonic()
        self._metrics.pushed(self._pushed_at - started, len(self._connections))

    async def _give_all(self, snapshot: Snapshot) -> bool:
        """Give each proxy what a snapshot says; False when an object was set aside, so that there is another one."""
        failed: list[tuple[Connection, Exception]] = []
        for connection in sorted(self.connections, key=lambda each: each.changed_by, reverse=True):
            if (error := self._attempt(connection, snapshot)) is not None:
                failed.append((connection, error))
            if not connection.session.settled:
                connection.changed_by = snapshot.version
            connection.wake()
            # ACKs, and the watch, go on meanwhile.
            await asyncio.sleep(0)
        for connection, error in failed:
            key = await culprit(partial(self._translate, connection), snapshot, self._state.unproved)
            if key is not None:
                reason = self._faults.record("translating {} {}/{}".format(*key), error)
                self._state.set_aside(key, snapshot, reason)
                return False
            connection.fault = self._faults.record(f"translating for {connection.name}", error)
        if self._connections and not failed:
            self._state.prove(snapshot)
        return True

    def _attempt(self, connection: Connection, snapshot: Snapshot) -> Exception | None:
        """Give a proxy what a snapshot says; when that cannot be made it keeps what it has."""
        connection.fault = ""
        try:
            self._generate(connection, snapshot)
        except Exception as error:  # noqa: BLE001 - one object's fault is not to end the process
            return error
        return None

    def _translate(self, connection: Connection, snapshot: Snapshot) -> Desired:
        return self._generate_for(snapshot, connection.proxy)

    def _generate(self, connection: Connection, snapshot: Snapshot) -> None:
        current = self._current(connection, snapshot)
        if current is None:
            return
        pod, view = current
        connection.pod = pod
        trust_domain = snapshot.mesh.trust_domain
        if view is not connection.view or connection.proxy.trust_domain != trust_domain:
            if connection.proxy.trust_domain != trust_domain:
                connection.own = None
            connection.view = view
            before = connection.proxy
            connection.proxy = self._proxy(pod, view, snapshot, before.id, before.metadata, connection.machine)
        connection.session.update(self._generate_for(snapshot, connection.proxy), snapshot.version)
        self.refresh_secrets(connection)

    def _current(self, connection: Connection, snapshot: Snapshot) -> tuple[ProxyPod, Pod] | None:
        """What a proxy is part of, in a snapshot; None, and the stream ends, where it is that no more."""
        if connection.machine is not None:
            try:
                return connection.pod, connection.machine.view(snapshot)
            except Unauthenticated as error:
                connection.close(str(error))
                return None
        key = (connection.pod.namespace, connection.pod.name)
        view, pod = snapshot.pods.get(key), self._state.fleet.pods.get(key)
        if view is None or pod is None or pod.uid != connection.pod.uid:
            connection.close("its pod is gone")
            return None
        return pod, view
