"""What the control plane knows of its proxies, read through the Kubernetes API's service proxy.

`/debug/config` tells which proxies a resource concerns and how far each is with it; `/debug/synced` the same of
everything that was pushed. Both are long polls: the server answers when the state is good or the time is up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, TypeVar
from urllib.parse import urlencode

import msgspec

from mesh_lab.client.api import Api
from mesh_lab.client.connection import ApiError, ClusterUnreachable
from mesh_lab.client.objects import Reference
from mesh_lab.debugidentity import DebugIdentity

_PROXIED = "/api/v1/namespaces/istio-system/services/istiod:15014/proxy"
_ANSWER_MARGIN_SECONDS = 5.0
ACKNOWLEDGED = "acknowledged"
_REFUSED = (
    "What the proxies had before, if anything, stays. `kubectl get events -A --field-selector reason=Rejected` tells "
    "which resources were rejected: correct or delete what is wrong."
)
_Shape = TypeVar("_Shape")


class Rejection(msgspec.Struct, frozen=True):
    """A type of resource that a proxy rejected (NACK), with Envoy's message."""

    type: str
    name: str
    error: str


class ProxySync(msgspec.Struct, frozen=True):
    """How far one proxy is with all that it was sent."""

    proxy: str
    synced: bool
    connected: str | None = None
    pending: tuple[str, ...] = ()
    rejected: tuple[Rejection, ...] = ()

    def __str__(self) -> str:
        if self.connected is None:
            return f"{self.proxy}: not connected"
        why = [f"rejected {r.type} {r.name}: {r.error}" for r in self.rejected]
        return (
            f"{self.proxy}: {'; '.join(why or [f'has not acknowledged {name}' for name in self.pending]) or 'pending'}"
        )


class MeshState(msgspec.Struct, frozen=True):
    """How far all proxies are with all that they were sent. `hopeless`: only an edit can bring them all in sync."""

    synced: bool
    proxies: tuple[ProxySync, ...] = ()
    hopeless: bool = False

    @property
    def in_sync(self) -> int:
        """How many proxies have acknowledged everything."""
        return sum(1 for proxy in self.proxies if proxy.synced)


class ProxyState(msgspec.Struct, frozen=True):
    """How far one proxy is with one resource: `acknowledged`, `pending`, `rejected` or `not-connected`, and why."""

    proxy: str
    state: str
    error: str = ""

    def __str__(self) -> str:
        return f"{self.proxy}: {self.state}{f' ({self.error})' if self.error else ''}"


class Finding(msgspec.Struct, frozen=True):
    """A fault that the control plane found in a resource: `severity` is `error` or `warning`."""

    severity: str
    message: str
    path: str = ""

    def __str__(self) -> str:
        return f"{self.severity}: {f'{self.path}: ' if self.path else ''}{self.message}"


class ConfigState(msgspec.Struct, frozen=True):
    """How far the proxies that one resource concerns are with it. `live`: all of them have acknowledged it.

    `remark` is what the proxies' states do not show.
    """

    found: bool
    live: bool
    resource_version: str = ""
    proxies: tuple[ProxyState, ...] = ()
    findings: tuple[Finding, ...] = ()
    remark: str = ""

    @property
    def hopeless(self) -> bool:
        """Whether only an edit can make it live: a proxy or the control plane itself has refused it."""
        return any(proxy.state == "rejected" for proxy in self.proxies) or any(
            finding.severity == "error" for finding in self.findings
        )


class MeshStatus(Protocol):
    """The status that a control plane gives. Both methods raise `ApiError`.

    `refused` says where a person finds which resources a rejected push was made of.
    """

    @property
    def refused(self) -> str:
        """What to do about it."""
        ...

    def mesh(self, *, wait: float = 0.0) -> MeshState:
        """All proxies, after at most `wait` seconds or as soon as all are in sync."""
        ...

    def config(self, reference: Reference, version: str = "", *, wait: float = 0.0) -> ConfigState:
        """The proxies that a resource concerns, after at most `wait` seconds or as soon as it is live."""
        ...


_NAMED_APART = {("gateway.networking.k8s.io", "Gateway"): "KubernetesGateway"}
"""What the lab's control plane calls kinds that share their name with one of Istio's."""


@dataclass(frozen=True)
class OwnStatus:
    """The lab's control plane, reached through the API's service proxy."""

    api: Api
    refused: str = _REFUSED

    def mesh(self, *, wait: float = 0.0) -> MeshState:
        """See `MeshStatus`."""
        return self._ask("synced", {"wait": f"{wait:g}"}, wait, MeshState)

    def config(
        self,
        reference: Reference,
        version: str = "",  # noqa: ARG002 - its answer tells the version
        *,
        wait: float = 0.0,
    ) -> ConfigState:
        """See `MeshStatus`."""
        kind = _NAMED_APART.get((reference.api_version.partition("/")[0], reference.kind), reference.kind)
        query = {"kind": kind, "namespace": reference.namespace, "name": reference.name, "wait": f"{wait:g}"}
        return self._ask("config", query, wait, ConfigState)

    def _ask(self, page: str, query: Mapping[str, str], wait: float, shape: type[_Shape]) -> _Shape:
        path = f"{_PROXIED}/debug/{page}?{urlencode(query)}"

        def send(headers: Mapping[str, str]) -> Any:
            return self.api.request("GET", path, timeout=wait + _ANSWER_MARGIN_SECONDS, headers=headers)

        try:
            return msgspec.convert(self._identity.ask(send, _code), shape)
        except msgspec.ValidationError as error:
            raise ClusterUnreachable(f"/debug/{page} answers something else than expected: {error}") from error

    @cached_property
    def _identity(self) -> DebugIdentity:
        return DebugIdentity(lambda path, body: self.api.request("POST", path, body=body))


def _code(error: Exception) -> int:
    return error.code if isinstance(error, ApiError) else 0


def reaches(have: str | None, want: str) -> bool:
    """Whether version `have` is `want` or newer. Versions that are not numbers can only be equal."""
    if have is None:
        return False
    if have.isdigit() and want.isdigit():
        return int(have) >= int(want)
    return not want or have == want
