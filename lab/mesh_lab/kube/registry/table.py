"""The resources that are served now: the built-in ones, and those of established CustomResourceDefinitions."""

from __future__ import annotations

from collections.abc import Iterable

from mesh_lab.kube.registry.custom.definitions import Definition, ServedVersion
from mesh_lab.kube.registry.kinds import RESOURCES
from mesh_lab.kube.resources import Resource
from mesh_lab.kube.schemas import Schema, builtin_schema


class ResourceTable:
    """Looks resources up by key, path or kind. `generation` grows with each change: what was derived is then stale."""

    def __init__(self, builtin: Iterable[Resource] = RESOURCES) -> None:
        self._builtin = tuple(builtin)
        self._definitions: dict[str, Definition] = {}
        self.generation = 0
        self._index()

    def get(self, key: str) -> Resource | None:
        """By key (`pods`, `deployments.apps`), in the preferred version."""
        return self._by_key.get(key)

    def by_path(self, group: str, version: str, plural: str) -> Resource | None:
        """By what stands in a request's path."""
        return self._by_path.get((group, version, plural))

    def by_kind(self, api_version: str, kind: str) -> Resource | None:
        """By what stands in an object."""
        return self._by_kind.get((api_version, kind))

    def all(self) -> tuple[Resource, ...]:
        """Every resource in every served version; built-in ones first."""
        return self._all

    def is_custom(self, resource: Resource) -> bool:
        """Whether a CustomResourceDefinition made it."""
        return resource.key in self._definitions

    def definition(self, resource: Resource) -> Definition | None:
        """The definition of a custom resource; None of a built-in one."""
        return self._definitions.get(resource.key)

    def served(self, resource: Resource) -> ServedVersion | None:
        """Columns, schema and paths of a custom resource in its version; None of a built-in one."""
        definition = self.definition(resource)
        versions = definition.served if definition else ()
        return next((v for v in versions if v.resource.version == resource.version), None)

    def schema(self, resource: Resource) -> Schema:
        """The schema of the resource's objects.

        Raises:
            KeyError: the resource is not in the table.
        """
        served = self.served(resource)
        return served.schema if served else builtin_schema(resource.api_version, resource.kind)

    def put(self, definition: Definition) -> None:
        """Add or replace a custom resource."""
        self._definitions[definition.key] = definition
        self._index()

    def drop(self, key: str) -> None:
        """Take a custom resource out; harmless when it is not there."""
        if self._definitions.pop(key, None) is not None:
            self._index()

    def definitions(self) -> tuple[Definition, ...]:
        """All custom resources."""
        return tuple(self._definitions.values())

    def _index(self) -> None:
        custom = [version.resource for d in self._definitions.values() for version in d.served]
        self._all = (*self._builtin, *custom)
        self._by_path = {(r.group, r.version, r.plural): r for r in self._all}
        self._by_kind = {(r.api_version, r.kind): r for r in self._all}
        # Versions stand in order of preference, so the first of each key wins.
        self._by_key = {r.key: r for r in reversed(self._all)}
        self.generation += 1
