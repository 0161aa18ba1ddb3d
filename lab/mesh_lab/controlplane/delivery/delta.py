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

from mesh_lab.controlplane.delivery.messages import (
    ABSENT,
    Desired,
    Exchange,
    Held,
    Rejection,
    Request,
    Resource,
    Response,
)
from mesh_lab.controlplane.delivery.typestate import TypeState
from mesh_lab.controlplane.xds.typeurls import CDS, ECDS, EDS, LDS, RDS, SDS, TYPES

# How long listeners and routes wait for the client to subscribe to the endpoints of a cluster that it has just
# accepted.
SUBSCRIPTION_LIMIT = 1.0


def _is_made_of(resource: Resource | None, key: tuple[str, str, str]) -> bool:
    return resource is not None and any(origin.key == key for origin in resource.origins)


class Session:
    """One client's stream."""

    def __init__(self) -> None:
        self.snapshot = 0
        self._types = {url: TypeState(url) for url in TYPES}
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

    @property
    def settled(self) -> bool:
        """The client has all that it should have."""
        return not any(state.lag for state in self._types.values())

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
        return {name: held for name, held in self._types[url].held.items() if held is not ABSENT}

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

    def _unknown(self, state: TypeState) -> list[str]:
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
