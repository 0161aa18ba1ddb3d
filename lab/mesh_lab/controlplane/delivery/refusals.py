"""Sets an EnvoyFilter, or a script, aside when Envoy rejects (NACK) what it makes, so that nobody else is harmed.

Envoy keeps the last good version of a resource that it rejects. But every later change to the same listener, by
whichever object, would be rejected with what an EnvoyFilter has put into it. So the EnvoyFilter goes, and its former
version, if there is one, comes back.

A NACK does not say which of several is at fault. What has changed since the proxy's last good version is; where none is
known (a new proxy, or a new control plane) one after another is left out, the newest first, until Envoy accepts the
resource. Then the last one was at fault, and the others are taken up again; if it does not help, all of them are.
"""

from __future__ import annotations

from mesh_lab.controlplane.delivery.messages import Rejection
from mesh_lab.controlplane.delivery.push import Connection
from mesh_lab.controlplane.delivery.state import ClusterState, Refusal
from mesh_lab.controlplane.world.kubernetes import Origin
from mesh_lab.controlplane.world.world import REFUSABLE

Place = tuple[int, str, str]
"""A connection, and the type and name of a resource on it."""


class Refusals:
    """Looks at the answers of proxies."""

    def __init__(self, state: ClusterState) -> None:
        self._state = state
        self._trials: dict[Place, list[Origin]] = {}
        self._innocent: dict[Place, set[Origin]] = {}
        # The version of each rejected resource that has been dealt with.
        self._seen: dict[Place, str] = {}

    def look(self, connection: Connection) -> None:
        """Look at where a proxy stands, after an answer of it."""
        rejections = connection.session.rejections()
        for (url, name), rejection in rejections.items():
            self._rejected((connection.id, url, name), rejection, connection.name)
        for place in [place for place in self._trials if place[0] == connection.id]:
            if place[1:] not in rejections and place[2] not in connection.session.lacking(place[1]):
                self._accepted(place)

    def forget(self, connection: Connection) -> None:
        """A proxy has gone."""
        for place in [place for place in self._seen if place[0] == connection.id]:
            del self._seen[place]
            self._trials.pop(place, None)
            self._innocent.pop(place, None)

    def _rejected(self, place: Place, rejection: Rejection, proxy: str) -> None:
        if self._seen.get(place) == rejection.resource.version:
            return
        self._seen[place] = rejection.resource.version
        acquitted = self._innocent.get(place, set())
        suspects = [origin for origin in rejection.suspects if origin.kind in REFUSABLE and origin not in acquitted]
        for origin in sorted(suspects, key=self._created, reverse=True):
            if self._state.refuse(Refusal(origin, rejection.message.strip(), proxy)):
                self._trials.setdefault(place, []).append(origin)
                return
        if not suspects and (tried := self._trials.pop(place, None)) is not None:
            self._innocent.setdefault(place, set()).update(tried)
            self._restore(tried)

    def _accepted(self, place: Place) -> None:
        *others, _ = self._trials.pop(place)
        self._restore(others)

    def _restore(self, origins: list[Origin]) -> None:
        for origin in origins:
            self._state.restore(origin)

    def _created(self, origin: Origin) -> str:
        config = self._state.latest.configs[origin.kind].get((origin.namespace, origin.name))
        return config.created if config is not None else ""
