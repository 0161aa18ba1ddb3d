"""Where the mesh's root lives: a Secret that survives istiod, and a ConfigMap in each namespace that pods mount.

The Secret is `cacerts` where a user has supplied an authority before istiod started (`plugged.py`). Otherwise it is
made here, in Istio's form (`ca-cert.pem`, `ca-key.pem`, `root-cert.pem`), and may be replaced by editing it:
`root-cert.pem` may hold several.
"""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Callable
from typing import NamedTuple

from mesh_lab.controlplane.kube import events
from mesh_lab.controlplane.kube.client import ApiError, Object, Unreachable
from mesh_lab.controlplane.kube.events import Subject
from mesh_lab.controlplane.kube.kinds import CONFIG_MAPS, SECRETS
from mesh_lab.controlplane.kube.signals import Signal
from mesh_lab.controlplane.kube.watching import Pauses
from mesh_lab.controlplane.trust import plugged
from mesh_lab.controlplane.trust.ca import Authority
from mesh_lab.controlplane.trust.plugged import UnusableRootError

log = logging.getLogger(__name__)

SECRET = "istio-ca-secret"
CONFIG_MAP = "istio-ca-root-cert"
ROOT_KEY = "root-cert.pem"
MOUNTED_AT = "/var/run/secrets/istio"
"""Where the proxies' containers have the ConfigMap."""

_SECRET_TYPE = "istio.io/ca-root"
_LABELS = {"istio.io/config": "true"}


_NOTICES_KEPT = 16

Api = events.Api


class Notice(NamedTuple):
    """A report to the user on a Secret of the mesh's authority."""

    secret: Object
    reason: str
    message: str


class Trust:
    """The authority in use. `changed` fires when its Secret was edited.

    It is `superseded` while the Secret has a root that the next istiod will use: what that one publishes, this one must
    not take back, since both run while one follows the other.

    `plugged` says that it came from the Secret `cacerts`. As in Istio, another signing certificate under the same roots
    is taken up at once, and so is a further root beside them (there with `ISTIO_MULTIROOT_MESH`); a root that goes, or
    a Secret that comes or goes, only when istiod starts again. So a root is replaced without a failed connection: the
    new one beside the old, then a signing certificate under the new, then the new one without the old.
    """

    def __init__(self, authority: Authority, namespace: str = "istio-system", *, plugged: bool = False) -> None:
        self.authority = authority
        self.changed = Signal()
        self.superseded = False
        self._namespace = namespace
        self._plugged = plugged
        self._notices: asyncio.Queue[Notice] = asyncio.Queue(_NOTICES_KEPT)
        self._last_recorded = ""

    @classmethod
    async def load(cls, api: Api, namespace: str, organization: str) -> Trust:
        """Read the root, or make it; retry for as long as the API is away or answers with errors.

        Raises:
            UnusableRootError: the root is broken, and no other is used in its place. The Secret has an Event then.
        """
        backoff = Pauses()
        while True:
            try:
                brought = await _load_plugged(api, namespace)
                if brought is not None:
                    log.info("signing with the authority of Secret %s", plugged.SECRET)
                    return cls(brought, namespace, plugged=True)
                return cls(await _load(api, namespace, organization), namespace)
            except (ApiError, Unreachable) as error:
                log.warning("reading Secrets %s and %s: %s", plugged.SECRET, SECRET, error)
                await backoff.pause()

    def observe(self, event: str, secret: Object) -> None:
        """A hook for Secrets: take up an edited root. A broken or deleted one leaves the last in use."""
        meta = secret["metadata"]
        if meta.get("namespace") != self._namespace:
            return
        if meta["name"] == plugged.SECRET:
            self._observe_plugged(event, secret)
        elif meta["name"] == SECRET and event != "DELETED" and secret.get("type") == _SECRET_TYPE and not self._plugged:
            try:
                self._take(_parse(secret))
            except UnusableRootError as error:
                log.error("%s; the last good root stays in use", error)  # noqa: TRY400

    def _observe_plugged(self, event: str, secret: Object) -> None:
        try:
            authority = None if event == "DELETED" else plugged.authority_in(secret)
        except UnusableRootError as error:
            self._record(secret, "UnusableAuthority", f"{error}; the authority in use stays in use")
            return
        self.superseded = (authority is None) is self._plugged or (
            authority is not None and not self.authority.trusted <= authority.trusted
        )
        if authority is None:
            if self._plugged:
                text = f"it holds no authority any more; what was in it stays in use until istiod starts again, {_THEN}"
                self._record(secret, "AuthorityGone", text)
        elif self.superseded:
            text = (
                "its root becomes that of the mesh only when istiod starts again, and proxies that trust no other fail "
                f"to connect until they have it: {_RESTART} -n {self._namespace}"
            )
            self._record(secret, "RestartNeeded", text)
        elif self._take(authority):
            self._last_recorded = ""
            log.info("signing with the authority that Secret %s has now", plugged.SECRET)

    def _take(self, authority: Authority) -> bool:
        now = self.authority
        if _parts(authority) == _parts(now):
            return False
        self.authority = authority
        self.changed.fire()
        return True

    def _record(self, secret: Object, reason: str, message: str) -> None:
        """Report a problem once, however often the Secret is listed."""
        if message == self._last_recorded:
            return
        self._last_recorded = message
        log.warning("Secret %s: %s", plugged.SECRET, message)
        if not self._notices.full():
            self._notices.put_nowait(Notice(secret, reason, message))

    async def report(self, api: Api) -> None:
        """Make Events of the reports on the Secret, until cancelled."""
        while True:
            await _warn(api, await self._notices.get())


_RESTART = "kubectl rollout restart deployment/istiod"
_THEN = f"which then signs with Secret {SECRET}"


def _parts(authority: Authority) -> tuple[bytes, ...]:
    return (authority.certificate, authority.key, authority.roots, authority.chain)


async def _warn(api: Api, notice: Notice) -> None:
    meta = notice.secret["metadata"]
    subject = Subject(meta.get("uid", ""), "v1", 0, {})
    await events.warn(api, ("Secret", meta["namespace"], meta["name"]), subject, notice.reason, notice.message)


async def _load_plugged(api: Api, namespace: str) -> Authority | None:
    found = await api.get(SECRETS, plugged.SECRET, namespace)
    if found is None:
        return None
    try:
        return plugged.authority_in(found)
    except UnusableRootError as error:
        await _warn(api, Notice(found, "UnusableAuthority", f"{error}; istiod does not start"))
        raise


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
    """Keeps the ConfigMap of each namespace as it should be; `concerns` tells of a namespace if it is this one's."""

    def __init__(self, api: Api, trust: Trust, concerns: Callable[[str], bool] = lambda _: True) -> None:
        self._api = api
        self._trust = trust
        self._concerns = concerns
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

    def observe_injector(self, _event: str, _configuration: Object) -> None:
        """A hook for injectors: another control plane has come or gone, and with it a namespace may be another's."""
        for namespace in self._namespaces:
            self._enqueue(namespace)

    async def run(self) -> None:
        """Publish until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow_trust())
            backoff = Pauses()
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
                    # A terminating namespace takes nothing new; after any other error its next event tries again.
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
        data = {ROOT_KEY: self._trust.authority.roots.decode()}
        published = self._published.get(namespace)
        if namespace not in self._namespaces or published == data or (published and self._trust.superseded):
            return
        if not self._concerns(namespace):
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
            if self._trust.superseded:
                return
            await self._api.merge(CONFIG_MAPS, CONFIG_MAP, {"data": data}, namespace)
        self._published[namespace] = dict(data)
