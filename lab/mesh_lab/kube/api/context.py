"""What the handlers of the API server share: a request's target and call, and the keys of what an application holds.

`/api/v1/...` is the core group, `/apis/GROUP/VERSION/...` all others; then
`[namespaces/NAMESPACE/]PLURAL[/NAME[/SUBRESOURCE[/REST]]]`. Trailing slashes are ignored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from urllib.parse import unquote

from aiohttp import web

from mesh_lab.kube import VERSION
from mesh_lab.kube.api.auth import Access, Authorizer
from mesh_lab.kube.api.auth.authentication import Authenticator
from mesh_lab.kube.registry.options import User
from mesh_lab.kube.registry.registry import Registry
from mesh_lab.kube.registry.syntax.selectors import parse_fields
from mesh_lab.kube.resources import NAMESPACES, Resource
from mesh_lab.kube.streams import NodeStreams

_NAMESPACE_SUBRESOURCES = frozenset({"status", "finalize"})


@dataclass(frozen=True)
class Target:
    """Where a request goes.

    `namespace` None means all of them, or a cluster-wide resource; `rest` is what follows a proxy subresource, still
    percent-encoded.
    """

    group: str
    version: str
    plural: str
    namespace: str | None = None
    name: str = ""
    subresource: str = ""
    rest: str = ""


def parse_path(raw_path: str) -> Target | None:
    """Parse a percent-encoded path; None when it is not one of a resource."""
    segments = raw_path.split("/")[1:]
    if segments[0] == "api" and len(segments) > 2:
        group, version, tail = "", segments[1], segments[2:]
    elif segments[0] == "apis" and len(segments) > 3:
        group, version, tail = segments[1], segments[2], segments[3:]
    else:
        return None
    namespace: str | None = None
    if tail[0] == "namespaces" and len(tail) > 2 and tail[2] and not (not group and tail[2] in _NAMESPACE_SUBRESOURCES):
        namespace, tail = unquote(tail[1]), tail[2:]
    plural, name, subresource, *rest = [*tail, "", "", ""][: max(len(tail), 3)]
    if not plural or (rest and subresource != "proxy" and any(rest)):
        return None
    target_rest = "/".join(tail[3:]) if len(tail) > 3 else ""
    return Target(group, version, plural, namespace, unquote(name), subresource, target_rest)


Checks = Mapping[str, Callable[[], str]]
"""Health checks by name; each returns what is wrong, or an empty text."""


@dataclass(frozen=True)
class ClusterInfo:
    """The cluster's name, version and health checks: `/livez` runs `alive`, `/readyz` also `ready`."""

    name: str = "mesh-lab"
    version: str = f"{VERSION}+meshlab"
    alive: Checks = field(default_factory=dict)
    ready: Checks = field(default_factory=dict)


REGISTRY: web.AppKey[Registry] = web.AppKey("registry", Registry)
AUTHENTICATOR: web.AppKey[Authenticator] = web.AppKey("authenticator", Authenticator)
AUTHORIZER: web.AppKey[Authorizer] = web.AppKey("authorizer", Authorizer)
STREAMS: web.AppKey[NodeStreams] = web.AppKey("streams", NodeStreams)
INFO: web.AppKey[ClusterInfo] = web.AppKey("info", ClusterInfo)
WARNINGS: ContextVar[list[str] | None] = ContextVar("warnings", default=None)
"""The warnings of the present request, for code that does not know of HTTP."""

_OF_COLLECTIONS = frozenset({"list", "watch", "deletecollection"})


def request_warnings() -> list[str]:
    """Return the warnings of the present request; what is appended goes into its answer, even into an error."""
    warnings = WARNINGS.get()
    return warnings if warnings is not None else []


USER: web.RequestKey[User] = web.RequestKey("user", User)


@dataclass(frozen=True)
class Call:
    """One authorised request for a resource: user, resource and target. `warnings` go into the answer."""

    request: web.Request
    registry: Registry
    resource: Resource
    target: Target
    user: User
    warnings: list[str] = field(default_factory=list)

    @property
    def namespace(self) -> str:
        """The namespace, empty for a cluster-wide resource."""
        return self.target.namespace or ""

    @property
    def name(self) -> str:
        """The object's name."""
        return self.target.name

    def require(self, verb: str) -> None:
        """Require that the user may use the verb on the target.

        Raises:
            ApiError: 403, the user may not.
        """
        self.request.app[AUTHORIZER].require(self.user, self._access(verb))

    def _access(self, verb: str) -> Access:
        target = self.target
        name = "" if verb == "create" and not target.subresource else target.name
        if not name and verb in _OF_COLLECTIONS:
            # A field selector for one name is authorised for that name, as in a real server.
            name = parse_fields(self.query("fieldSelector")).exact("metadata.name")
        # A namespace counts as inside itself, so that roles in it can grant access to it.
        inside = target.name if self.resource.key == NAMESPACES.key else self.namespace
        return Access(verb, target.group, target.plural, inside, name, target.subresource)

    def query(self, key: str) -> str:
        """Return a query parameter, empty when it is absent."""
        return self.request.query.get(key, "")

    def flag(self, key: str) -> bool:
        """Return whether a boolean query parameter is true, in the spellings of Go's parser."""
        return self.query(key).lower() in ("1", "t", "true")
