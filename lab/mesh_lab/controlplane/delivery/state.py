"""What the control plane knows of the cluster, and as of which version of each object.

Takes what is followed, hands it to the snapshot's `World`, and records what the `World` has no need of: which snapshot
is the first to include a given version of an object, which pods run a proxy, which status an object has.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from mesh_lab.controlplane.istiokinds import KINDS
from mesh_lab.controlplane.kube.client import Object
from mesh_lab.controlplane.kube.events import Key, Subject
from mesh_lab.controlplane.kube.kinds import FOLLOWED, Kind
from mesh_lab.controlplane.kube.signals import Signal
from mesh_lab.controlplane.model.requestauthentication import RequestAuthentication
from mesh_lab.controlplane.process.faults import Faults
from mesh_lab.controlplane.process.plane import THE_DEFAULT, ControlPlane
from mesh_lab.controlplane.world.fleet import Fleet
from mesh_lab.controlplane.world.kubernetes import Origin
from mesh_lab.controlplane.world.meshconfig import CONFIG_MAP
from mesh_lab.controlplane.world.snapshot import Keys, KeySource, Snapshot
from mesh_lab.controlplane.world.vocabulary import Vocabulary
from mesh_lab.controlplane.world.world import World
from mesh_lab.controlplane.xds.authentication import sources_of

log = logging.getLogger(__name__)

Hook = Callable[[str, Object], None]

# Deleted objects are remembered for callers that wait for their deletion.
_GONE_KEPT = 10_000


class Included(NamedTuple):
    """An object's version, and the first snapshot that holds all that this version says."""

    resource_version: str
    snapshot: int


class Refusal(NamedTuple):
    """Why an object is set aside: what Envoy says of what it makes, and the proxy that said so."""

    origin: Origin
    message: str
    proxy: str


class ClusterState:
    """Takes events (it is the followers' sink) and makes snapshots.

    `changed` fires on what a proxy could notice, `snapshotted` with each snapshot, `progress` on every event, and
    whenever a proxy has come, answered or gone.
    """

    def __init__(
        self,
        plane: ControlPlane = THE_DEFAULT,
        faults: Faults | None = None,
        dialects: Sequence[Vocabulary] = (),
    ) -> None:
        self._faults = faults or Faults()
        self.settings_key: Key = ("ConfigMap", plane.namespace, plane.named(CONFIG_MAP))
        self._world = World(plane, dialects)
        self._snapshot: Snapshot | None = None
        self._versions: dict[Key, Included] = {}
        self._gone: dict[Key, int] = {}
        self._fresh: set[Key] = set()
        self._hooks: dict[str, list[Hook]] = {}
        self.fleet = Fleet()
        self.subjects: dict[Key, Subject] = {}
        # What is set aside because Envoy rejects what it makes.
        self.refused: dict[Key, Refusal] = {}
        # Everything has been listed once: what is not known does not exist.
        self.complete = False
        self.changed = Signal()
        self.progress = Signal()
        self.snapshotted = Signal()

    def is_home_of(self, namespace: str) -> bool:
        """Whether a namespace belongs to this control plane, or to none that is known."""
        return self._world.is_home_of(namespace)

    def reports_on(self, namespace: str) -> bool:
        """Whether this control plane is the one that writes the statuses of a namespace's resources."""
        return self._world.reports_on(namespace)

    def hook(self, kind: str, hook: Hook) -> None:
        """Call `hook(event, object)` for each event of a kind; a list gives ADDED and DELETED ones."""
        self._hooks.setdefault(kind, []).append(hook)

    def replace(self, kind: Kind, objects: list[Object]) -> None:
        """These objects are all there are of a kind."""
        objects = [obj for obj in objects if self._is_one(kind.kind, obj)]
        listed = {_key(kind.kind, obj) for obj in objects}
        known = {*self._versions, *self._fresh}
        for gone in [key for key in known if key[0] == kind.kind and key not in listed]:
            self.apply(kind, "DELETED", {"metadata": {"namespace": gone[1], "name": gone[2]}})
        for obj in objects:
            self.apply(kind, "ADDED", obj)

    def apply(self, kind: Kind, event: str, obj: Object) -> None:
        """Take one event. A fault in handling an object is reported on that object, and concerns no other."""
        if not self._is_one(kind.kind, obj):
            return
        key = _key(kind.kind, obj)
        visible = False
        try:
            visible = kind.kind in FOLLOWED and self._world.apply(kind.kind, event, obj)
        except Exception as error:  # noqa: BLE001 - of others' objects anything may come
            self._world.report_unusable(key, self._faults.record("reading {} {}/{}".format(*key), error))
            visible = True
        self._book(key, event, obj, visible=visible)
        hooks = self._hooks.get(kind.kind, [])
        for hook in (self.fleet.apply, *hooks) if kind.kind == "Pod" else hooks:
            try:
                hook(event, obj)
            except Exception as error:  # noqa: BLE001 - as above
                self._faults.record("taking up {} {}/{}".format(*key), error)
        if visible:
            self.refused.pop(key, None)
            self.changed.fire()
        self.progress.fire()

    def refuse(self, refusal: Refusal) -> bool:
        """Set an EnvoyFilter or script aside for what Envoy has rejected; False when it has changed since."""
        if not self._world.refuse(refusal.origin, refusal.message):
            return False
        self.refused[refusal.origin.key] = refusal
        self._refresh(refusal.origin.key)
        return True

    def restore(self, origin: Origin) -> None:
        """Take up an EnvoyFilter or script again that was refused and is not at fault."""
        if self._world.restore(origin):
            self.refused.pop(origin.key, None)
            self._refresh(origin.key)

    def _refresh(self, key: Key) -> None:
        self._fresh.add(key)
        self.changed.fire()
        self.progress.fire()

    @property
    def unproved(self) -> tuple[Key, ...]:
        """The resources that have changed since all was last translated."""
        return self._world.unproved

    def prove(self, snapshot: Snapshot) -> None:
        """A snapshot has been translated for all proxies."""
        self._world.prove(snapshot)

    def set_aside(self, key: Key, snapshot: Snapshot, reason: str) -> None:
        """Set an object aside that cannot be translated as it is in `snapshot`, until it is changed."""
        if self._world.set_aside(key, snapshot, reason):
            self._fresh.add(key)

    def set_keys(self, source: KeySource, keys: Keys | None) -> None:
        """Take keys of tokens that were fetched; None forgets them."""
        self._world.set_keys(source, keys)
        policies = self.latest.of(RequestAuthentication).values()
        self._fresh.update(config.origin.key for config in policies if source in sources_of(config.spec))
        self.changed.fire()

    def _awaits_keys(self, key: Key) -> bool:
        """Whether it is a policy whose tokens cannot be checked yet: a source of keys has not been tried once."""
        kind, *name = key
        if kind != "RequestAuthentication":
            return False
        config = self.latest.of(RequestAuthentication).get((name[0], name[1]))
        return config is not None and not sources_of(config.spec) <= self.latest.keys.keys()

    def _is_one(self, kind: str, obj: Object) -> bool:
        """Whether it is an object at all: without a name there is nothing to report on."""
        try:
            _, namespace, name = _key(kind, obj)
            if name and isinstance(name, str) and isinstance(namespace, str):
                return True
        except (KeyError, TypeError, AttributeError):
            pass
        log.warning("a %s without a name is left out", kind)
        return False

    def snapshot(self) -> Snapshot:
        """The cluster as it is now."""
        snapshot = self._world.snapshot()
        for key in self._fresh:
            if key in self._versions:
                self._versions[key] = Included(self._versions[key].resource_version, snapshot.version)
            else:
                self._gone[key] = snapshot.version
        self._fresh.clear()
        while len(self._gone) > _GONE_KEPT:
            del self._gone[next(iter(self._gone))]
        self._snapshot = snapshot
        self.snapshotted.fire()
        return snapshot

    @property
    def latest(self) -> Snapshot:
        """The last snapshot that was made."""
        return self._snapshot or self.snapshot()

    @property
    def settled(self) -> bool:
        """Nothing has changed since the last snapshot."""
        return not self._fresh

    def included(self, key: Key) -> Included | None:
        """An object's version and the first snapshot with it; None when there is no such object.

        Keys of tokens that a policy names belong to it: it is included once each source has been tried.
        """
        known = self._versions.get(key)
        if known is not None and (key in self._fresh or self._awaits_keys(key)):
            return Included(known.resource_version, self.latest.version + 1)
        return known

    def gone_since(self, key: Key) -> int:
        """The first snapshot without an object that is no more (or never was)."""
        return self.latest.version + 1 if key in self._fresh else self._gone.get(key, 0)

    def _book(self, key: Key, event: str, obj: Object, *, visible: bool) -> None:
        meta = obj["metadata"]
        if event == "DELETED":
            self._versions.pop(key, None)
            self.subjects.pop(key, None)
        else:
            before = self._versions.get(key)
            self._versions[key] = Included(meta.get("resourceVersion", ""), before.snapshot if before else 0)
            self._gone.pop(key, None)
            if key[0] in KINDS:
                status = obj.get("status")
                self.subjects[key] = Subject(
                    meta.get("uid", ""),
                    obj.get("apiVersion", ""),
                    meta.get("generation", 0),
                    status if isinstance(status, Mapping) else {},
                )
        if visible:
            self._fresh.add(key)


def _key(kind: str, obj: Object) -> Key:
    return (kind, obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
