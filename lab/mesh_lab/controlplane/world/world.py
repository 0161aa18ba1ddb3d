"""From the API server's events to snapshots of the cluster and Istio's resources.

What an event does not touch keeps its identity from one snapshot to the next, down to the single endpoint, and
translation memoises on identity: a change costs what it touches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar, cast

from mesh_lab.controlplane.istiokinds import KINDS, closed, stand_in, unread
from mesh_lab.controlplane.model.base import Spec
from mesh_lab.controlplane.process.plane import THE_DEFAULT, ControlPlane
from mesh_lab.controlplane.validation.common import Severity
from mesh_lab.controlplane.validation.standins import StandIn
from mesh_lab.controlplane.world import (
    configmaps,
    gatewayapi,
    kubernetes,
    meshconfig,
    serviceaddresses,
    values,
    workloadhealth,
)
from mesh_lab.controlplane.world.configmaps import Remark
from mesh_lab.controlplane.world.endpointtable import EndpointTable
from mesh_lab.controlplane.world.findings import Finding
from mesh_lab.controlplane.world.gatewayapi import Resource
from mesh_lab.controlplane.world.kubernetes import Object, ObjectKey, Origin, Pod, same
from mesh_lab.controlplane.world.meshconfig import MeshConfig
from mesh_lab.controlplane.world.reading import read
from mesh_lab.controlplane.world.snapshot import Config, Keys, KeySource, Snapshot, Table
from mesh_lab.controlplane.world.views import VIEWS
from mesh_lab.controlplane.world.visibility import Visibility
from mesh_lab.controlplane.world.vocabulary import Vocabulary

K = TypeVar("K")
V = TypeVar("V")

# Edits follow each other faster than proxies answer: which version was the last good one is known only then.
_EARLIER_KEPT = 4

REFUSABLE = frozenset({"EnvoyFilter", "TrafficExtension"})
"""The kinds by which their authors write a part of Envoy's configuration, which Envoy may reject for that."""


class World:
    """Takes the API server's events, in any order across kinds, and makes snapshots of the objects."""

    def __init__(self, plane: ControlPlane = THE_DEFAULT, dialects: Sequence[Vocabulary] = ()) -> None:
        self._plane = plane
        self._readers = tuple(dialect.read for dialect in dialects)
        self._dialects = {kind: spec for dialect in dialects for kind, spec in dialect.kinds.items()}
        self._viewing = {**VIEWS, **{kind: gatewayapi.view(kind, spec) for kind, spec in self._dialects.items()}}
        self._settings = (plane.named(meshconfig.CONFIG_MAP), plane.named(values.CONFIG_MAP))
        self._mesh = MeshConfig(root_namespace=plane.namespace)
        self._families = meshconfig.Families()
        self._mesh_is_read = False
        self._views: dict[str, dict[ObjectKey, Any]] = {kind: {} for kind in self._viewing}
        self._configs: dict[str, dict[ObjectKey, Config[Spec]]] = {kind: {} for kind in KINDS}
        self._raw: dict[tuple[str, str, str], Any] = {}
        self._invalid: dict[tuple[str, str, str], tuple[Finding, ...]] = {}
        # The resources in error that something else stands in for.
        self._stood_in: set[tuple[str, str, str]] = set()
        # Objects that are set aside, as they were when that was decided.
        self._aside: dict[tuple[str, str, str], Any] = {}
        # The versions of an EnvoyFilter or script before the present one, of which the last holds when Envoy rejects
        # what the present one makes; and the versions that are set aside for that.
        self._earlier: dict[tuple[str, str, str], list[Config[Spec]]] = {}
        self._refused: dict[tuple[str, str, str], Config[Spec]] = {}
        # The content of each resource when all was last translated, where it has changed since; None where it did not
        # exist.
        self._proved: dict[tuple[str, str, str], Config[Spec] | None] = {}
        self._endpoints = EndpointTable(self._views["Pod"], self._views["Node"])
        self._keys: dict[KeySource, Keys] = {}
        self._changed: set[str] = {*self._viewing, *KINDS, "Endpoints", "Invalid", "Keys"}
        self._visible = Visibility(plane, self._views["Namespace"], self._views["MutatingWebhookConfiguration"])
        self._snapshot: Snapshot | None = None

    def apply(self, kind: str, event: str, obj: Object) -> bool:
        """Take one event: ADDED, MODIFIED or DELETED. True when it changes what a proxy, or the analysis, could see."""
        gone = event == "DELETED"
        if kind in KINDS:
            return self._apply_config(kind, obj, gone=gone)
        if kind == "ConfigMap":
            return self._apply_config_map(obj, gone=gone)
        visible = self._apply_view(kind, obj, gone=gone)
        if kind in ("MutatingWebhookConfiguration", "Namespace") and self._visible.meet():
            self._changed |= KINDS.keys()
        return visible

    def snapshot(self) -> Snapshot:
        """The world as it is now; the very same object as before when nothing has changed."""
        if self._endpoints.refresh():
            self._changed.add("Endpoints")
        if self._snapshot is None or self._changed:
            self._snapshot = self._next()
            self._changed.clear()
        return self._snapshot

    def set_keys(self, source: KeySource, keys: Keys | None) -> None:
        """Take the keys that were fetched; None forgets them."""
        if keys is None:
            self._keys.pop(source, None)
        else:
            self._keys[source] = keys
        self._changed.add("Keys")

    @property
    def unproved(self) -> tuple[tuple[str, str, str], ...]:
        """The resources that have changed since all was last translated."""
        return tuple(self._proved)

    def prove(self, snapshot: Snapshot) -> None:
        """A snapshot has been translated for all proxies."""
        for key in list(self._proved):
            kind, *name = key
            good = snapshot.configs[kind].get((name[0], name[1]))
            if good is self._configs[kind].get((name[0], name[1])):
                del self._proved[key]
            else:
                self._proved[key] = good

    def set_aside(self, key: tuple[str, str, str], snapshot: Snapshot, reason: str) -> bool:
        """Set an object aside that cannot be translated as it is in `snapshot`, until it is changed.

        Its former version holds, if that was translated; a new policy denies what it is for. False when it has changed
        since.
        """
        kind, namespace, name = key
        current: dict[ObjectKey, Any] = cast("Any", self._configs)[kind] if kind in KINDS else self._views[kind]
        tables: Mapping[str, Mapping[ObjectKey, Any]] = {**snapshot.configs, **snapshot.gatewayapi, **snapshot.dialects}
        translated = tables.get(kind, snapshot.services)
        bad = current.get((namespace, name))
        if bad is None or bad is not translated.get((namespace, name)):
            return False
        del current[namespace, name]
        if isinstance(bad, Config):
            held = self._proved.pop(key, None)
            if held is None and (spec := closed(bad.spec)) is not None:
                held = replace(bad, spec=spec)
            if held is not None:
                current[namespace, name] = held
        else:
            self._aside[key] = bad
        self._changed.add(kind)
        self.report_unusable(key, reason)
        return True

    def refuse(self, origin: Origin, reason: str) -> bool:
        """Set an object aside of which Envoy has rejected what it makes, until it is changed or restored.

        Its former version holds, if there is one that was not refused. False when it has changed since.
        """
        bad = self._configs[origin.kind].get((origin.namespace, origin.name))
        if bad is None or bad.origin != origin:
            return False
        earlier = self._earlier.get(origin.key)
        former = earlier.pop() if earlier else None
        self._put(origin, former)
        self._refused[origin.key] = bad
        holds = "the version before it holds" if former is not None else "it has no effect"
        text = f"Schema validation error: Envoy rejects what it makes: {reason}; until it is changed, {holds}"
        self._set_findings(origin, (Finding("error", "IST0106", text, "spec", origin),))
        return True

    def restore(self, origin: Origin) -> bool:
        """Take up an object again that was refused and is not at fault; False when it has changed since."""
        good = self._refused.get(origin.key)
        if good is None or good.origin != origin:
            return False
        del self._refused[origin.key]
        if (held := self._configs[origin.kind].get((origin.namespace, origin.name))) is not None:
            self._earlier.setdefault(origin.key, []).append(held)
        self._put(origin, good)
        self._set_findings(origin, ())
        return True

    def _put(self, origin: Origin, config: Config[Spec] | None) -> None:
        configs = self._configs[origin.kind]
        configs.pop((origin.namespace, origin.name), None)
        if config is not None:
            configs[origin.namespace, origin.name] = config
        self._proved.pop(origin.key, None)
        self._changed.add(origin.kind)

    def report_unusable(self, key: tuple[str, str, str], reason: str) -> None:
        """Report an object that cannot be used, through no fault of its author; the finding stays until it changes."""
        origin = Origin(*key)
        self._set_findings(origin, (Finding("error", "IST0001", f"Internal error: {reason}", "", origin),))

    def _apply_view(self, kind: str, obj: Object, *, gone: bool) -> bool:
        views, key = self._views[kind], (obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
        old, new = views.get(key), None if gone else self._viewing[kind](obj)
        if new is not None and same(self._aside.get((kind, *key)), new):
            return False
        self._aside.pop((kind, *key), None)
        cleared = (kind, *key) in self._invalid
        self._set_findings(Origin(kind, *key), ())
        if old is new or (old is not None and new is not None and same(old, new)):
            return cleared
        if new is None:
            del views[key]
        else:
            views[key] = new
        self._changed.add(kind)
        self._endpoints.mark(kind, key, old, new)
        return True

    def _apply_config(self, kind: str, obj: Object, *, gone: bool) -> bool:
        origin = kubernetes.origin_of(kind, obj)
        key = (origin.namespace, origin.name)
        configs = self._configs[kind]
        if gone:
            known = configs.pop(key, None) is not None or origin.key in self._invalid
            self._raw.pop(origin.key, None)
            self._stood_in.discard(origin.key)
            self._proved.pop(origin.key, None)
            self._earlier.pop(origin.key, None)
            self._refused.pop(origin.key, None)
            self._set_findings(origin, ())
            if known:
                self._changed.add(kind)
            return known
        meta, spec = obj["metadata"], obj.get("spec")
        labels, annotations = meta.get("labels") or {}, kubernetes.istios(meta.get("annotations") or {})
        given = serviceaddresses.assigned(obj.get("status")) if kind == "ServiceEntry" else {}
        healthy = kind != "WorkloadEntry" or workloadhealth.is_healthy(obj)
        raw = (spec, labels, annotations, given, healthy, origin.generation)
        if self._raw.get(origin.key) == raw:
            return False
        self._raw[origin.key] = raw
        self._changed.add(kind)
        self._proved.setdefault(origin.key, configs.get(key))
        if kind in REFUSABLE:
            self._refused.pop(origin.key, None)
            if key in configs:
                self._earlier[origin.key] = [*self._earlier.get(origin.key, [])[1 - _EARLIER_KEPT :], configs[key]]
        created = meta.get("creationTimestamp") or ""
        try:
            found = read(kind, spec, origin)
        except Exception:
            # The caller reports a fault in reading; a policy must not be open meanwhile.
            if key not in configs and (strictest := unread(kind)) is not None:
                configs[key] = Config(origin, origin.namespace, origin.name, labels, created, strictest)
            raise
        decoded, findings = found.spec, found.findings
        if decoded is None and (instead := stand_in(kind, spec)) is not None:
            decoded, remark = self._instead_of(origin, instead)
            findings = (*findings, remark)
        else:
            self._stood_in.discard(origin.key)
        self._set_findings(origin, findings)
        if decoded is not None:
            configs[key] = Config(
                origin,
                origin.namespace,
                origin.name,
                labels,
                created,
                decoded,
                annotations,
                found.any_workload,
                assigned=given,
                healthy=healthy,
            )
        return True

    def _instead_of(self, origin: Origin, instead: StandIn) -> tuple[Spec | None, Finding]:
        """What holds of a resource in error: the good version before it, if one is known. And the remark on that."""
        text = f"Schema validation error: until it is put right, {instead.effect}"
        known = (origin.namespace, origin.name) in self._configs[origin.kind]
        if known and origin.key not in self._stood_in:
            text = (
                "Schema validation error: until it is put right, the version before it holds; "
                f"when istiod is restarted, {instead.effect}"
            )
            return None, Finding("error", "IST0106", text, "spec", origin)
        if instead.spec is not None:
            self._stood_in.add(origin.key)
        return instead.spec, Finding("error", "IST0106", text, "spec", origin)

    def _set_findings(self, origin: Origin, findings: tuple[Finding, ...]) -> None:
        if findings:
            self._invalid[origin.key] = findings
            self._changed.add("Invalid")
        elif self._invalid.pop(origin.key, None) is not None:
            self._changed.add("Invalid")

    def _apply_config_map(self, obj: Object, *, gone: bool) -> bool:
        origin = kubernetes.origin_of("ConfigMap", obj)
        if origin.namespace != self._plane.namespace or origin.name not in self._settings:
            return self._apply_view("ConfigMap", obj, gone=gone)
        keys = configmaps.held({} if gone else obj)
        if self._raw.get(origin.key) == keys:
            return False
        self._raw[origin.key] = keys
        if origin.name == self._settings[1]:
            # The webhook reads the values itself: they change nothing for a proxy that runs.
            return self._set_remarks(origin, values.remarks(keys))
        self._changed.add("ConfigMap")
        # A resource that is wrong when it is first seen has no good version before it.
        self._mesh, remarks = meshconfig.read(keys, self._mesh if self._mesh_is_read else None)
        self._mesh_is_read = True
        self._set_remarks(origin, remarks)
        return True

    def _set_remarks(self, origin: Origin, remarks: Iterable[Remark]) -> bool:
        """True when the findings differ from those before."""
        findings = tuple(Finding(r.severity, _CODES[r.severity], r.message, r.path, origin) for r in remarks)
        if findings == self._invalid.get(origin.key, ()):
            return False
        self._set_findings(origin, findings)
        return True

    def _discover(self) -> set[str]:
        """Take up which namespaces the mesh sees; the kinds that this changes. Pods are seen: they may have proxies."""
        if self._snapshot is not None and not self._changed & {"ConfigMap", "Namespace"}:
            return set()
        changed = self._visible.discover(self._mesh.discovery_selectors)
        return {"Service", "Endpoints", *KINDS, *gatewayapi.KINDS, *self._dialects} if changed else set()

    def is_home_of(self, namespace: str) -> bool:
        """Whether a namespace belongs to this control plane, or to none that is known."""
        return self._visible.is_home_of(namespace)

    def reports_on(self, namespace: str) -> bool:
        """Whether this control plane is the one that writes the statuses of a namespace's resources."""
        return self._visible.reports_on(namespace)

    def _next(self) -> Snapshot:
        old = self._snapshot
        fresh = self._changed | self._discover()

        def table(name: str, current: dict[K, V], known: Callable[[Snapshot], Table[K, V]]) -> Table[K, V]:
            return Table(current) if old is None or name in fresh else known(old)

        def configs(kind: str) -> Table[ObjectKey, Config[Spec]]:
            return table(
                kind, self._visible.ours(self._visible.seen(self._configs[kind])), lambda before: before.configs[kind]
            )

        def views(kind: str) -> Table[ObjectKey, Resource[Spec]]:
            there = self._views[kind]
            ours = self._visible.ours(self._visible.seen(there)) if gatewayapi.KINDS[kind].namespaced else there
            return table(kind, ours, lambda before: before.gatewayapi[kind])

        def said(kind: str) -> Table[ObjectKey, Resource[Spec]]:
            ours: dict[ObjectKey, Any] = self._visible.ours(self._visible.seen(self._views[kind]))
            return table(kind, ours, lambda before: before.dialects[kind])

        pods: Table[ObjectKey, Pod] = table("Pod", self._views["Pod"], lambda before: before.pods)
        named = {key[1]: view for key, view in self._views["Namespace"].items()}
        nodes = {key[1]: view for key, view in self._views["Node"].items()}
        classes = {key[1]: view.controller for key, view in self._views["IngressClass"].items()}
        return Snapshot(
            version=old.version + 1 if old else 1,
            mesh=self._families.on(self._mesh, nodes.values()),
            services=table("Service", self._visible.seen(self._views["Service"]), lambda before: before.services),
            endpoints=table("Endpoints", self._visible.seen(self._endpoints.services), lambda before: before.endpoints),
            pods=pods,
            pods_by_ip=old.pods_by_ip if old and pods is old.pods else Table({pod.ip: pod for pod in pods.values()}),
            namespaces=table("Namespace", named, lambda before: before.namespaces),
            deployments=table("Deployment", self._views["Deployment"], lambda before: before.deployments),
            ingresses=table("Ingress", self._views["Ingress"], lambda before: before.ingresses),
            ingress_classes=table("IngressClass", classes, lambda before: before.ingress_classes),
            nodes=table("Node", nodes, lambda before: before.nodes),
            secrets=table("Secret", self._views["Secret"], lambda before: before.secrets),
            configs=Table({kind: configs(kind) for kind in KINDS}) if fresh & KINDS.keys() or not old else old.configs,
            invalid=table("Invalid", self._invalid, lambda before: before.invalid),
            injectors=table(
                "MutatingWebhookConfiguration",
                self._views["MutatingWebhookConfiguration"],
                lambda before: before.injectors,
            ),
            keys=table("Keys", self._keys, lambda before: before.keys),
            config_maps=table("ConfigMap", self._views["ConfigMap"], lambda before: before.config_maps),
            gatewayapi=Table({kind: views(kind) for kind in gatewayapi.KINDS})
            if fresh & gatewayapi.KINDS.keys() or not old
            else old.gatewayapi,
            dialects=Table({kind: said(kind) for kind in self._dialects})
            if fresh & self._dialects.keys() or not old
            else old.dialects,
            readers=self._readers,
        )


_CODES: Mapping[Severity, str] = {"error": "IST0106", "warning": "IST0133", "info": "IST0133"}
"""A setting of the mesh that cannot be used, and one without effect."""
