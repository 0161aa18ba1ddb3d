"""What of the cluster is this control plane's: the namespaces that the mesh sees, and resources of other revisions."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TypeVar

from mesh_lab.controlplane.model.base import Spec
from mesh_lab.controlplane.model.mesh import LabelSelector
from mesh_lab.controlplane.process.plane import ControlPlane
from mesh_lab.controlplane.world import revisions
from mesh_lab.controlplane.world.kubernetes import Namespace, ObjectKey
from mesh_lab.controlplane.world.labelselectors import selects
from mesh_lab.controlplane.world.revisions import REVISION_LABEL, Injector
from mesh_lab.controlplane.world.snapshot import Config

V = TypeVar("V")


class Visibility:
    """Kept for one control plane. `namespaces` and `webhooks` are the views that it reads, which others keep."""

    def __init__(
        self,
        plane: ControlPlane,
        namespaces: Mapping[ObjectKey, Namespace],
        webhooks: Mapping[ObjectKey, Injector],
    ) -> None:
        self._plane = plane
        self._namespaces = namespaces
        self._webhooks = webhooks
        # The namespaces that the mesh sees; None is all of them.
        self._selected: frozenset[str] | None = None
        self._others: frozenset[str] = frozenset()

    def discover(self, selectors: Collection[LabelSelector]) -> bool:
        """Take up which namespaces the mesh sees; whether that has changed."""
        selected = {
            key[1]
            for key, view in self._namespaces.items()
            if any(selects(selector, view.labels) for selector in selectors)
        }
        before, self._selected = self._selected, frozenset(selected) if selectors else None
        return before != self._selected

    def meet(self) -> bool:
        """Take up which other control planes there are: some of the resources are theirs. Whether that has changed."""
        before, self._others = self._others, revisions.names_of_others(self._plane, self._injectors)
        return before != self._others

    def is_home_of(self, namespace: str) -> bool:
        """Whether a namespace belongs to this control plane, or to none that is known."""
        if not self._others:
            return True
        view = self._namespaces.get(("", namespace))
        home = revisions.home_of(namespace, view.labels if view is not None else {}, self._injectors)
        return home in ("", self._plane.namespace)

    def reports_on(self, namespace: str) -> bool:
        """Whether this control plane is the one that writes the statuses of a namespace's resources."""
        return not self._others or (self.is_home_of(namespace) and revisions.leads(self._plane, self._injectors))

    def ours(self, configs: dict[ObjectKey, Config[Spec]]) -> dict[ObjectKey, Config[Spec]]:
        """Without the resources that are labelled for another control plane."""
        if not self._others:
            return configs
        return {key: each for key, each in configs.items() if each.labels.get(REVISION_LABEL) not in self._others}

    def seen(self, objects: dict[ObjectKey, V]) -> dict[ObjectKey, V]:
        """Of the objects those in a namespace that the mesh sees."""
        if self._selected is None:
            return objects
        return {key: value for key, value in objects.items() if key[0] in self._selected}

    @property
    def _injectors(self) -> Collection[Injector]:
        """Those of control planes whose namespace is there: `istioctl uninstall` may leave the others behind."""
        found: Iterable[Injector] = self._webhooks.values()
        return [each for each in found if each.plane == self._plane or ("", each.plane.namespace) in self._namespaces]
