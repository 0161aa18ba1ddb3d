"""The incremental variant of Envoy's discovery protocol for one client, without any input or output.

What the client should have is set by `update`; its requests go into `request`; `pump` gives what to send next. At any
moment at most one response of a type is unanswered, and what changes meanwhile is sent once, in its latest form: a slow
client costs no memory. https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol

Order, so that nothing is used before it is there nor removed while it is in use: clusters, their endpoints, then
listeners, configurations of filters and routes once the client has both, then removals.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from mesh_lab.controlplane.world.kubernetes import Origin
from mesh_lab.controlplane.xds.typeurls import CDS, ECDS, EDS, LDS, RDS, SDS, TYPES

# An empty subscription to one of these is a subscription to all there are.
_WILDCARD_TYPES = frozenset({CDS, LDS})
# A secret that is gone leaves its last certificate in use, as with Istio: better than a listener without any.
_KEPT_TYPES = frozenset({SDS})
# How long listeners and routes wait for the client to subscribe to the endpoints of a cluster that it has just
# accepted.
SUBSCRIPTION_LIMIT = 1.0


class Resource(Protocol):
    """A resource as it is sent; equal versions mean equal bytes."""

    @property
    def name(self) -> str:
        """The name, unique within its type."""

    @property
    def version(self) -> str:
        """A hash of the bytes."""

    @property
    def body(self) -> bytes:
        """The serialised `google.protobuf.Any`."""

    @property
    def origins(self) -> tuple[Origin, ...]:
        """The objects that it was made from."""

    @property
    def secrets(self) -> tuple[str, ...]:
        """The secrets that a listener needs before it serves."""


Desired = Mapping[str, Mapping[str, Resource]]


class Held(NamedTuple):
    """What the client has: `origins` is None where the version is known only from the client's first request."""

    version: str
    origins: tuple[Origin, ...] | None


class Exchange(NamedTuple):
    """How far a client is with a type that it has subscribed to: nonces, and Envoy's words for what it rejects.

    `sent_at` is the time of the last response, in seconds since the epoch; `names` is what it has subscribed to by
    name; `synced`, whether it lacks nothing.
    """

    sent: str
    acked: str
    sent_at: float
    error: str
    names: tuple[str, ...]
    synced: bool


class Rejection(NamedTuple):
    """A version that the client rejected (NACK), and its words."""

    resource: Resource
    message: str
    suspects: tuple[Origin, ...]


@dataclass(frozen=True)
class Request:
    """A DeltaDiscoveryRequest's content."""

    type_url: str
    nonce: str = ""
    error: str | None = None
    subscribe: tuple[str, ...] = ()
    unsubscribe: tuple[str, ...] = ()
    initial_versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Response:
    """A DeltaDiscoveryResponse's content. `snapshot` is the one that it was generated from."""

    type_url: str
    nonce: str
    resources: tuple[Resource, ...]
    removed: tuple[str, ...]
    snapshot: int


_ABSENT = Held("", ())


class _Type:
    """The state of one resource type."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.known = False
        self.wildcard = False
        # A wildcard subscription waits for a response, even where there are no resources.
        self.greeted = False
        self.names: set[str] = set()
        self.desired: Mapping[str, Resource] = {}
        self.held: dict[str, Held] = {}
        self.rejected: dict[str, Rejection] = {}
        # Names whose held version is not the desired one, with the last snapshot for which it was.
        self.lag: dict[str, int] = {}
        self.again: set[str] = set()
        self.one_by_one: set[str] = set()
        self.flight: Response | None = None
        self.sent = self.acked = ""
        self.sent_at = 0.0

    def update(self, desired: Mapping[str, Resource], before: int) -> None:
        """`before` is the snapshot of the last update."""
        if desired is self.desired:
            return
        self.desired = desired
        flying = {resource.name: resource.version for resource in self.flight.resources} if self.flight else {}
        flying |= dict.fromkeys(self.flight.removed if self.flight else (), "")
        for name, resource in desired.items():
            held = self.held.get(name)
            if (
                held is not None
                and held.version == resource.version
                and flying.get(name, resource.version) == resource.version
            ):
                self.lag.pop(name, None)
                # The newest origins explain the same bytes: an object may now give the same resource as another.
                if held.origins != resource.origins:
                    self.held[name] = Held(resource.version, resource.origins)
            else:
                self.lag.setdefault(name, before)
            rejection = self.rejected.get(name)
            if rejection is not None and rejection.resource.version != resource.version:
                del self.rejected[name]
        for name in self._surplus():
            self.lag.setdefault(name, before)
        for name in [name for name in self.lag if name not in desired and (self._kept or name not in self.held)]:
            del self.lag[name]
        for name in self.rejected.keys() - desired.keys():
            del self.rejected[name]

    @property
    def _kept(self) -> bool:
        """Whether what is gone stays with the client, which then lacks nothing."""
        return self.url in _KEPT_TYPES

    def subscribed(self, name: str) -> bool:
        return self.wildcard or name in self.names

    def request(self, request: Request) -> None:
        if not self.known:
            self.known = True
            self.wildcard = self.url in _WILDCARD_TYPES and not request.subscribe
            for name, version in request.initial_versions.items():
                self._hold(name, Held(version, None))
        for name in request.subscribe:
            if name == "*":
                self.wildcard = True
                continue
            self.names.add(name)
            if name not in request.initial_versions or self.url == EDS:
                # Subscribed to again: the client may have dropped it, whatever it acknowledged before. And a cluster
                # that was waiting for its endpoints when the last stream broke has them in no version.
                self.again.add(name)
        for name in request.unsubscribe:
            if name == "*":
                self.wildcard = False
            self.names.discard(name)
            self.again.discard(name)
        if request.unsubscribe and not self.wildcard:
            self._forget(name for name in {*self.held, *self.rejected} if name not in self.names)

    def _forget(self, names: Iterable[str]) -> None:
        for name in list(names):
            self.held.pop(name, None)
            self.rejected.pop(name, None)
            if name not in self.desired:
                self.lag.pop(name, None)

    def _hold(self, name: str, held: Held, snapshot: int = 0) -> None:
        self.held[name] = held
        desired = self.desired.get(name)
        if (desired is None and (held is _ABSENT or self._kept)) or (desired and desired.version == held.version):
            self.lag.pop(name, None)
            if desired is not None:
                self.held[name] = Held(desired.version, desired.origins)
        else:
            self.lag[name] = max(snapshot, self.lag.get(name, 0))

    def answered(self, request: Request) -> None:
        """An ACK or NACK of the response in flight; one of anything older says nothing."""
        flight = self.flight
        if flight is None or request.nonce != flight.nonce:
            return
        self.flight = None
        if request.error is None:
            self.acked = flight.nonce
            self._accepted(flight)
        elif len(flight.resources) == 1 and not flight.removed:
            self._take_nack(flight.resources[0], request.error)
        elif flight.resources:
            # A NACK names the bad resources only in prose: send each by itself to learn which.
            self.one_by_one.update(resource.name for resource in flight.resources)
        else:
            self._accepted(flight)

    def _accepted(self, flight: Response) -> None:
        for resource in flight.resources:
            self.one_by_one.discard(resource.name)
            rejection = self.rejected.get(resource.name)
            if rejection is not None and rejection.resource.version != resource.version:
                del self.rejected[resource.name]
            if self.subscribed(resource.name):
                self._hold(resource.name, Held(resource.version, resource.origins), flight.snapshot)
        for name in flight.removed:
            if name in self.names:
                self._hold(name, _ABSENT, flight.snapshot)
            else:
                self._forget([name])

    def _take_nack(self, resource: Resource, message: str) -> None:
        self.one_by_one.discard(resource.name)
        self.again.discard(resource.name)
        current = self.desired.get(resource.name)
        if current is not None and current.version == resource.version:
            held = self.held.get(resource.name)
            before = set(held.origins or ()) if held else set()
            changed = tuple(origin for origin in resource.origins if origin not in before)
            self.rejected[resource.name] = Rejection(resource, message, changed or resource.origins)

    def to_send(self) -> list[Resource]:
        """What the client lacks, has in another version or subscribed to again."""
        if not self.known:
            return []
        if self.wildcard:
            candidates: Iterable[str] = {*self.lag, *self.again}
        else:
            candidates = (self.lag.keys() | self.again) & self.names
        found = (self.desired.get(name) for name in sorted(candidates))
        return [
            resource
            for resource in found
            if resource is not None
            and ((bad := self.rejected.get(resource.name)) is None or bad.resource.version != resource.version)
        ]

    def to_remove(self) -> list[str]:
        """What the client has, or waits for, and is not to have."""
        if not self.known:
            return []
        unknown = {name for name in self.names if name not in self.desired and name not in self.held}
        return [] if self._kept else sorted(self._surplus() | unknown)

    def _surplus(self) -> set[str]:
        if self._kept:
            return set()
        return {name for name in self.held.keys() - self.desired.keys() if self.held[name] is not _ABSENT}

    def new(self) -> set[str]:
        """What the client has in no version at all and has not rejected either."""
        return {
            name
            for name in self.lag
            if name in self.desired and self.held.get(name, _ABSENT) is _ABSENT and name not in self.rejected
        }

    def exchange(self) -> Exchange:
        error = "; ".join(sorted({bad.message for bad in self.rejected.values()}))
        lacking = self.lag if self.wildcard else self.lag.keys() & self.names
        synced = self.flight is None and not lacking
        return Exchange(self.sent, self.acked, self.sent_at, error, tuple(sorted(self.names)), synced)

    def concerned(self, key: tuple[str, str, str], name: str) -> bool:
        """Whether an object has, or may have had, a part in what the client holds or should hold under a name."""
        held = self.held.get(name)
        if held is not None and held.origins is None:
            return True
        if held is None and self.url == SDS and name not in self.rejected:
            # A secret that is new there is one that some new listener waits for.
            return True
        desired = self.desired.get(name)
        origins = (*(held.origins or () if held else ()), *(desired.origins if desired else ()))
        if self.flight is not None:
            origins += tuple(o for r in self.flight.resources if r.name == name for o in r.origins)
        return any(origin.key == key for origin in origins)


def _is_made_of(resource: Resource | None, key: tuple[str, str, str]) -> bool:
    return resource is not None and any(origin.key == key for origin in resource.origins)


class Session:
    """One client's stream."""

    def __init__(self) -> None:
        self.snapshot = 0
        self._types = {url: _Type(url) for url in TYPES}
        self._nonce = 0
        self._waiting_since: float | None = None
        self._given_up: set[str] = set()

    def update(self, desired: Desired, snapshot: int) -> None:
        """What the client should have from now on, and the number of the snapshot that says so.

        A type that `desired` lacks stays as it is.
        """
        for url, resources in desired.items():
            self._types[url].update(resources, self.snapshot)
        self.snapshot = snapshot

    def set_secrets(self, secrets: Mapping[str, Resource]) -> None:
        """The secrets it should have; they depend on its subscriptions, so they come apart from the rest."""
        self._types[SDS].update(secrets, max(self.snapshot - 1, 0))

    def names(self, url: str) -> frozenset[str]:
        """What the client has subscribed to by name."""
        return frozenset(self._types[url].names)

    def request(self, request: Request) -> None:
        """Take a request of the client. Types that are not served are ignored."""
        state = self._types.get(request.type_url)
        if state is None:
            return
        if request.nonce:
            state.answered(request)
        state.request(request)

    def pump(self, now: float) -> list[Response]:
        """What to send now, in this order. Call again after each `request` and `update`, and at `wake_at`."""
        responses = self._send(SDS)
        clusters = self._send(CDS)
        for response in clusters:
            # A cluster that has changed waits for endpoints (15 s) although the client has them from before.
            endpoints = self._types[EDS]
            endpoints.again.update(r.name for r in response.resources if r.name in endpoints.names)
        responses += clusters
        responses += self._send(EDS)
        if self._clusters_ready(now):
            responses += self._send(LDS, removals=True)
            # Before the routes that make use of them.
            responses += self._send(ECDS, removals=True)
            responses += self._send(RDS, removals=True)
        if self._routes_settled():
            responses += self._send(CDS, removals=True)
            responses += self._send(EDS, removals=True)
        return responses

    @property
    def wake_at(self) -> float | None:
        """When `pump` has to be called although nothing has happened."""
        return None if self._waiting_since is None else self._waiting_since + SUBSCRIPTION_LIMIT

    def rejections(self) -> dict[tuple[str, str], Rejection]:
        """By type and name, what the client has rejected (NACK) and is still meant to have."""
        return {(url, name): bad for url, state in self._types.items() for name, bad in state.rejected.items()}

    def lacking(self, url: str) -> frozenset[str]:
        """The names of a type of which the client lacks the desired version."""
        return frozenset(self._types[url].lag)

    def pending(self) -> list[tuple[str, str]]:
        """Type and name of all that the client lacks in its desired version, or waits for in vain."""
        secrets = self._types[SDS]
        vain = sorted(secrets.names - secrets.desired.keys() - secrets.held.keys())
        vain += sorted(self._unasked(self._types[LDS].desired.values()) - {*vain})
        return [(url, name) for url, state in self._types.items() for name in state.lag] + [(SDS, n) for n in vain]

    def behind(self, key: tuple[str, str, str], snapshot: int) -> tuple[list[tuple[str, str]], list[Rejection]]:
        """What the client lacks of all that an object has a part in, as of a snapshot, and what it rejected of it."""
        lacking: list[tuple[str, str]] = []
        rejected: list[Rejection] = []
        for url, state in self._types.items():
            for name, last in state.lag.items():
                # A client that starts again subscribes to a secret anew, however long it has been named.
                anew = url == SDS and name not in state.held and _is_made_of(state.desired.get(name), key)
                if anew or (last < snapshot and state.concerned(key, name)):
                    lacking.append((url, name))
                    if (bad := state.rejected.get(name)) is not None:
                        rejected.append(bad)
        unasked = self._unasked(
            listener for listener in self._types[LDS].desired.values() if _is_made_of(listener, key)
        )
        return lacking + [(SDS, name) for name in sorted(unasked)], rejected

    def _unasked(self, listeners: Iterable[Resource]) -> set[str]:
        """Secrets that listeners wait for and that the client has not subscribed to yet: it does so a moment later."""
        state = self._types[SDS]
        return {name for each in listeners for name in each.secrets} - state.held.keys() - state.lag.keys()

    def concerns(self, key: tuple[str, str, str]) -> bool:
        """Whether an object has a part in what the client has, or should have."""
        return any(
            _is_made_of(resource, key) for state in self._types.values() for resource in state.desired.values()
        ) or any(state.concerned(key, name) for state in self._types.values() for name in state.lag)

    def desired(self) -> Desired:
        """What the client should have."""
        return {url: state.desired for url, state in self._types.items()}

    def exchanges(self) -> dict[str, Exchange]:
        """How far the client is with each type that it has subscribed to."""
        return {url: state.exchange() for url, state in self._types.items() if state.known}

    def held(self, url: str) -> Mapping[str, Held]:
        """What the client has."""
        return {name: held for name, held in self._types[url].held.items() if held is not _ABSENT}

    def _send(self, url: str, *, removals: bool = False) -> list[Response]:
        state = self._types[url]
        if state.flight is not None:
            return []
        resources = state.to_send()
        removed = state.to_remove() if removals or url not in (CDS, EDS) else self._unknown(state)
        suspects = [resource for resource in resources if resource.name in state.one_by_one]
        if suspects:
            resources, removed = suspects[:1], []
        elif url == SDS:
            # Envoy remembers a secret that it rejects, and accepts it when it comes again: only the first NACK shows
            # which of them is bad. Those of its own identity, which no object has made, go together.
            resources = [each for each in resources if not each.origins] or resources[:1]
        if not resources and not removed and (state.greeted or not state.wildcard):
            return []
        state.greeted = True
        self._nonce += 1
        state.flight = Response(url, str(self._nonce), tuple(resources), tuple(removed), self.snapshot)
        state.sent, state.sent_at = state.flight.nonce, time.time()
        state.again.difference_update(resource.name for resource in resources)
        return [state.flight]

    def _unknown(self, state: _Type) -> list[str]:
        """Names it waits for that do not exist: a removal says so at once, and ends the wait."""
        return [name for name in state.to_remove() if name not in state.held]

    def _clusters_ready(self, now: float) -> bool:
        """The client has every cluster that a new listener or route may name, and endpoints for it."""
        clusters, endpoints = self._types[CDS], self._types[EDS]
        missing = endpoints.new() - (clusters.rejected.keys() - clusters.held.keys()) - self._given_up
        asked = missing & endpoints.names
        if not clusters.known or clusters.new() or asked or not missing:
            self._waiting_since = None
            return not clusters.known or not (clusters.new() or asked)
        if self._waiting_since is None:
            self._waiting_since = now
        if now - self._waiting_since < SUBSCRIPTION_LIMIT:
            return False
        self._given_up |= missing
        self._waiting_since = None
        return True

    def _routes_settled(self) -> bool:
        """Nothing is in use any more that is not desired; what a rejected listener or route replaces, still is."""
        return not any(self._types[url].lag for url in (LDS, ECDS, RDS))
