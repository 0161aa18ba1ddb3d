"""Where the mesh's root lives: a Secret that survives istiod, and a ConfigMap in each namespace that pods mount.

The Secret has Istio's form (`ca-cert.pem`, `ca-key.pem`, `root-cert.pem`), so a root can be brought along, and replaced
by editing it: `root-cert.pem` may hold several. The ConfigMap also tells a proxy where its token is: Envoy follows a
secret in a file through a file.
"""

from __future__ import annotations

import asyncio
import base64
import logging
from typing import Protocol

from lab.controlplane.bootstrap import TOKEN_SOURCE, TOKEN_SOURCE_KEY
from lab.controlplane.ca import Authority
from lab.controlplane.kubeclient import CONFIG_MAPS, SECRETS, ApiError, Kind, Object, Unreachable
from lab.controlplane.signals import Signal
from lab.controlplane.watching import Backoff

log = logging.getLogger(__name__)

SECRET = "istio-ca-secret"
CONFIG_MAP = "istio-ca-root-cert"
ROOT_KEY = "root-cert.pem"
_SECRET_TYPE = "istio.io/ca-root"
_LABELS = {"istio.io/config": "true"}


class UnusableRootError(ValueError):
    """The Secret is there and holds no authority."""


class Api(Protocol):
    """What this needs of the API."""

    async def get(self, kind: Kind, name: str, namespace: str = "") -> Object | None:
        """An object, or None."""

    async def create(self, kind: Kind, obj: Object, namespace: str = "") -> Object:
        """Create an object."""

    async def merge(self, kind: Kind, name: str, patch: Object, namespace: str = "", subresource: str = "") -> Object:
        """Patch an object."""


class Trust:
    """The authority in use. `changed` fires when the Secret was edited."""

    def __init__(self, authority: Authority) -> None:
        self.authority = authority
        self.changed = Signal()

    @classmethod
    async def load(cls, api: Api, namespace: str, organization: str) -> Trust:
        """Read the root, or make it; ask again for as long as the API is away or refuses.

        Raises UnusableRootError.
        """
        backoff = Backoff()
        while True:
            try:
                return cls(await _load(api, namespace, organization))
            except (ApiError, Unreachable) as error:
                log.warning("reading Secret %s: %s", SECRET, error)
                await backoff.pause()

    def observe(self, event: str, secret: Object) -> None:
        """A hook for Secrets: take up an edited root. A broken or deleted one leaves the last in use."""
        if secret["metadata"]["name"] != SECRET or event == "DELETED" or secret.get("type") != _SECRET_TYPE:
            return
        try:
            authority = _parse(secret)
        except UnusableRootError as error:
            log.error("%s; the last good root stays in use", error)  # noqa: TRY400
            return
        now = self.authority
        if (authority.certificate, authority.key, authority.roots) != (now.certificate, now.key, now.roots):
            self.authority = authority
            self.changed.fire()


async def _load(api: Api, namespace: str, organization: str) -> Authority:
    found = await api.get(SECRETS, SECRET, namespace)
    if found is not None:
        return _parse(found)
    authority = Authority.create(organization)
    parts = {"ca-cert.pem": authority.certificate, "ca-key.pem": authority.key, ROOT_KEY: authority.roots}
    secret: Object = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": SECRET, "namespace": namespace},
        "type": _SECRET_TYPE,
        "data": {name: base64.b64encode(content).decode() for name, content in parts.items()},
    }
    try:
        await api.create(SECRETS, secret, namespace)
    except ApiError as error:
        other = await api.get(SECRETS, SECRET, namespace) if error.status == 409 else None
        if other is None:
            raise
        return _parse(other)
    return authority


def _parse(secret: Object) -> Authority:
    data = secret.get("data") or {}
    try:
        return Authority(
            base64.b64decode(data["ca-cert.pem"]),
            base64.b64decode(data["ca-key.pem"]),
            base64.b64decode(data.get(ROOT_KEY, "")),
        )
    except KeyError as error:
        raise UnusableRootError(f"Secret {SECRET} has no {error}: delete it to have a new root made") from None
    except (ValueError, TypeError) as error:
        raise UnusableRootError(f"Secret {SECRET} cannot be used as an authority: {error}") from None


class RootPublisher:
    """Keeps the ConfigMap of each namespace as it should be."""

    def __init__(self, api: Api, trust: Trust) -> None:
        self._api = api
        self._trust = trust
        self._namespaces: set[str] = set()
        self._published: dict[str, Object] = {}
        self._todo: asyncio.Queue[str] = asyncio.Queue()
        self._queued: set[str] = set()

    def observe_namespace(self, event: str, namespace: Object) -> None:
        """A hook for Namespaces."""
        name = namespace["metadata"]["name"]
        if event == "DELETED" or (namespace.get("status") or {}).get("phase") == "Terminating":
            self._namespaces.discard(name)
            return
        self._namespaces.add(name)
        self._enqueue(name)

    def observe_config_map(self, event: str, config_map: Object) -> None:
        """A hook for ConfigMaps: put right what was edited or deleted."""
        meta = config_map["metadata"]
        if meta["name"] != CONFIG_MAP:
            return
        if event == "DELETED":
            self._published.pop(meta["namespace"], None)
        else:
            self._published[meta["namespace"]] = config_map.get("data") or {}
        self._enqueue(meta["namespace"])

    async def run(self) -> None:
        """Publish until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow_trust())
            backoff = Backoff()
            while True:
                namespace = await self._todo.get()
                self._queued.discard(namespace)
                try:
                    await self._publish(namespace)
                    backoff.reset()
                except Unreachable as error:
                    log.warning("publishing the root in %s: %s", namespace, error)
                    await backoff.pause()
                    self._enqueue(namespace)
                except ApiError as error:
                    # A namespace that is ending takes nothing new; whatever else it is, its next event tries again.
                    log.warning("publishing the root in %s: %s", namespace, error)

    def _enqueue(self, namespace: str) -> None:
        if namespace in self._namespaces and namespace not in self._queued:
            self._queued.add(namespace)
            self._todo.put_nowait(namespace)

    async def _follow_trust(self) -> None:
        while True:
            await self._trust.changed.wait()
            for namespace in self._namespaces:
                self._enqueue(namespace)

    async def _publish(self, namespace: str) -> None:
        data = {ROOT_KEY: self._trust.authority.roots.decode(), TOKEN_SOURCE_KEY: TOKEN_SOURCE}
        if namespace not in self._namespaces or self._published.get(namespace) == data:
            return
        try:
            await self._api.create(
                CONFIG_MAPS,
                {
                    "apiVersion": "v1",
                    "kind": "ConfigMap",
                    "metadata": {"name": CONFIG_MAP, "namespace": namespace, "labels": _LABELS},
                    "data": data,
                },
                namespace,
            )
        except ApiError as error:
            if error.status != 409:
                raise
            await self._api.merge(CONFIG_MAPS, CONFIG_MAP, {"data": data}, namespace)
        self._published[namespace] = dict(data)
