"""The attributes of a request that authorization evaluates.

https://kubernetes.io/docs/reference/access-authn-authz/authorization/#review-your-request-attributes
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Access:
    """One verb on a resource.

    `namespace` is empty for all namespaces and for resources of the cluster, `name` for a collection.
    """

    verb: str
    group: str
    resource: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    @property
    def full_resource(self) -> str:
        """The resource as rules name it: `pods`, `pods/exec`."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource

    def refusal(self, user: str) -> str:
        """Return the text of a denial, as a real API server words it."""
        plural = f"{self.resource}.{self.group}" if self.group else self.resource
        name = f' "{self.name}"' if self.name else ""
        where = f' in the namespace "{self.namespace}"' if self.namespace else " at the cluster scope"
        return (
            f'{plural}{name} is forbidden: User "{user}" cannot {self.verb} resource "{self.full_resource}" '
            f'in API group "{self.group}"{where}'
        )


@dataclass(frozen=True)
class PathAccess:
    """One verb (an HTTP method in small letters) on a path that is no resource's, such as `/version`."""

    verb: str
    path: str

    def refusal(self, user: str) -> str:
        """Return the text of a denial, as a real API server words it."""
        return f'forbidden: User "{user}" cannot {self.verb} path "{self.path}"'


Action = Access | PathAccess
