"""Where one client stands with one type of resource: what it should have, what it has, what it has rejected."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mesh_lab.controlplane.delivery.messages import ABSENT, Exchange, Held, Rejection, Request, Resource, Response
from mesh_lab.controlplane.xds.typeurls import CDS, EDS, LDS, SDS

# An empty subscription to one of these is a subscription to all there are.
_WILDCARD_TYPES = frozenset({CDS, LDS})
# A secret that is gone leaves its last certificate in use, as with Istio: better than a listener without any.
_KEPT_TYPES = frozenset({SDS})


class TypeState:
    """One type on one stream. Its attributes are the session's to read."""

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
        previous, self.desired = self.desired, desired
        flying = {resource.name: resource.version for resource in self.flight.resources} if self.flight else {}
        flying |= dict.fromkeys(self.flight.removed if self.flight else (), "")
        for name, resource in desired.items():
            if previous.get(name) is resource:
                continue
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
        """Whether the client has asked for a name, or for all."""
        return self.wildcard or name in self.names

    def request(self, request: Request) -> None:
        """Take what a request subscribes to and no longer subscribes to."""
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
        if (desired is None and (held is ABSENT or self._kept)) or (desired and desired.version == held.version):
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
                self._hold(name, ABSENT, flight.snapshot)
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
        return {name for name in self.held.keys() - self.desired.keys() if self.held[name] is not ABSENT}

    def new(self) -> set[str]:
        """What the client has in no version at all and has not rejected either."""
        return {
            name
            for name in self.lag
            if name in self.desired and self.held.get(name, ABSENT) is ABSENT and name not in self.rejected
        }

    def exchange(self) -> Exchange:
        """How far the client is."""
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
