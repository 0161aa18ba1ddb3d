"""Where the root is kept, and who learns of it."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web
from cryptography import x509

from mesh_lab.controlplane.kube.client import ApiError, Unreachable
from mesh_lab.controlplane.kube.kinds import Kind
from mesh_lab.controlplane.process.plane import ControlPlane
from mesh_lab.controlplane.trust.ca import Authority
from mesh_lab.controlplane.trust.plugged import UnusableRootError
from mesh_lab.controlplane.trust.root import CONFIG_MAP, SECRET, RootPublisher, Trust
from mesh_lab.controlplane.trust.serving import BundlePublisher, ServingCertificate, serve_http

Object = dict[str, Any]


class Store:
    """Objects by plural, namespace and name; `troubles` are raised first."""

    def __init__(self, *troubles: Exception) -> None:
        self.objects: dict[tuple[str, str, str], Object] = {}
        self.troubles = list(troubles)
        self.writes = 0
        self._written = asyncio.Event()

    async def get(self, kind: Kind, name: str, namespace: str = "") -> Object | None:
        if self.troubles:
            raise self.troubles.pop(0)
        return self.objects.get((kind.plural, namespace, name))

    async def create(self, kind: Kind, obj: Object, namespace: str = "") -> Object:
        key = (kind.plural, namespace, obj["metadata"]["name"])
        if key in self.objects:
            raise ApiError(409, "AlreadyExists", "it exists")
        return self._write(key, obj)

    async def merge(self, kind: Kind, name: str, patch: Object, namespace: str = "", subresource: str = "") -> Object:
        if self.troubles:
            raise self.troubles.pop(0)
        key = (kind.plural, namespace, name)
        return self._write(key, {**self.objects[key], **patch})

    async def replace(self, kind: Kind, obj: Object) -> Object:
        return self._write((kind.plural, "", obj["metadata"]["name"]), obj)

    def _write(self, key: tuple[str, str, str], obj: Object) -> Object:
        self.writes += 1
        self.objects[key] = obj
        self._written.set()
        return obj

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not condition():
                self._written.clear()
                await self._written.wait()


async def test_the_root_outlives_the_control_plane() -> None:
    store = Store()
    first = await Trust.load(store, "istio-system", "cluster.local")
    again = await Trust.load(store, "istio-system", "cluster.local")
    assert again.authority.certificate == first.authority.certificate
    assert store.writes == 1


async def test_an_api_that_is_away_or_refuses_is_asked_again() -> None:
    store = Store(Unreachable("away"), ApiError(401, "Unauthorized", "not yet"))
    await Trust.load(store, "istio-system", "cluster.local")
    assert not store.troubles


async def test_who_loses_the_race_for_the_root_takes_the_winners() -> None:
    store, other = Store(), Store()
    winner = await Trust.load(other, "istio-system", "cluster.local")
    get = store.get

    async def get_late(kind: Kind, name: str, namespace: str = "") -> Object | None:
        found = await get(kind, name, namespace)
        store.objects = other.objects
        return found

    store.get = get_late  # type: ignore[method-assign]
    loser = await Trust.load(store, "istio-system", "cluster.local")
    assert loser.authority.certificate == winner.authority.certificate


@pytest.mark.parametrize(
    "data", [{}, {"ca-cert.pem": "eA==", "ca-key.pem": "eA=="}, {"ca-cert.pem": "!", "ca-key.pem": ""}]
)
async def test_a_root_that_cannot_be_used_is_named_and_not_replaced(data: Object) -> None:
    store = Store()
    store.objects[("secrets", "istio-system", SECRET)] = {"metadata": {"name": SECRET}, "data": data}
    with pytest.raises(UnusableRootError, match=SECRET):
        await Trust.load(store, "istio-system", "cluster.local")
    assert store.writes == 0


async def test_a_broken_edit_leaves_the_last_good_root_in_use() -> None:
    store = Store()
    trust = await Trust.load(store, "istio-system", "cluster.local")
    before = trust.authority
    secret = store.objects[("secrets", "istio-system", SECRET)]
    trust.observe("MODIFIED", {**secret, "data": {**secret["data"], "ca-key.pem": "eA=="}})
    trust.observe("DELETED", secret)
    assert trust.authority is before
    assert trust.changed.count == 0


async def test_a_secret_of_that_name_elsewhere_is_no_authority() -> None:
    trust = await Trust.load(Store(), "istio-system", "cluster.local")
    before, other = trust.authority, Authority.create("an attacker's")
    parts = {"ca-cert.pem": other.certificate, "ca-key.pem": other.key, "root-cert.pem": other.roots}
    data = {name: base64.b64encode(content).decode() for name, content in parts.items()}
    secret = {"metadata": {"name": SECRET, "namespace": "default"}, "type": "istio.io/ca-root", "data": data}
    trust.observe("ADDED", secret)
    trust.observe("ADDED", {**secret, "metadata": {"name": "cacerts", "namespace": "default"}})
    assert trust.authority is before


async def test_each_namespace_is_given_the_root_and_keeps_it() -> None:
    store = Store()
    trust = Trust(Authority.create("x"))
    publisher = RootPublisher(store, trust)
    task = asyncio.create_task(publisher.run())
    key = ("configmaps", "default", CONFIG_MAP)

    def published() -> str:
        return str(store.objects.get(key, {"data": {}})["data"].get("root-cert.pem", ""))

    try:
        publisher.observe_namespace("ADDED", {"metadata": {"name": "default"}})
        await store.until(lambda: published() == trust.authority.roots.decode())
        edited = {"metadata": {"name": CONFIG_MAP, "namespace": "default"}, "data": {"root-cert.pem": "edited"}}
        store.objects[key] = edited
        store.troubles.append(Unreachable("away for a moment"))
        publisher.observe_config_map("MODIFIED", edited)
        await store.until(lambda: published() == trust.authority.roots.decode())
        written = store.writes
        publisher.observe_namespace("MODIFIED", {"metadata": {"name": "default"}})
        ending = {"metadata": {"name": "ending"}, "status": {"phase": "Terminating"}}
        publisher.observe_namespace("ADDED", ending)
        publisher.observe_namespace("ADDED", {"metadata": {"name": "last"}})
        await store.until(lambda: ("configmaps", "last", CONFIG_MAP) in store.objects)
        assert store.writes == written + 1
    finally:
        task.cancel()
        await asyncio.wait({task})


async def test_a_namespace_of_another_control_plane_gets_no_root_until_that_one_is_gone() -> None:
    store, theirs = Store(), {"theirs"}
    trust = await Trust.load(store, "istio-system", "test")
    publisher = RootPublisher(store, trust, lambda namespace: namespace not in theirs)
    task = asyncio.create_task(publisher.run())
    try:
        for name in ("theirs", "ours"):
            publisher.observe_namespace("ADDED", {"metadata": {"name": name}})
        await store.until(lambda: ("configmaps", "ours", CONFIG_MAP) in store.objects)
        assert ("configmaps", "theirs", CONFIG_MAP) not in store.objects
        theirs.clear()
        publisher.observe_injector("DELETED", {})
        await store.until(lambda: ("configmaps", "theirs", CONFIG_MAP) in store.objects)
    finally:
        task.cancel()
        await asyncio.wait({task})


async def test_webhooks_of_each_control_plane_trust_its_own_root() -> None:
    store, plane = Store(), ControlPlane("canary", "mesh")
    publisher = BundlePublisher(store, lambda: b"root", plane=plane)
    task = asyncio.create_task(publisher.run())

    def made(name: str, revision: str, namespace: str) -> dict[str, Any]:
        service = {"name": "istiod", "namespace": namespace, "path": "/inject"}
        meta = {"name": name, "labels": {"istio.io/rev": revision}}
        return {"metadata": meta, "webhooks": [{"clientConfig": {"service": service}}]}

    try:
        foreign = (made("istio-sidecar-injector", "default", "istio-system"), made("namesake", "canary", "elsewhere"))
        for each in (*foreign, made("istio-sidecar-injector-canary-mesh", "canary", "mesh")):
            store.objects["mutatingwebhookconfigurations", "", each["metadata"]["name"]] = each
            publisher.observe("ADDED", each)
        await store.until(lambda: publisher.done)
        trusting = [key[2] for key, each in store.objects.items() if "caBundle" in each["webhooks"][0]["clientConfig"]]
        assert trusting == ["istio-sidecar-injector-canary-mesh"]
    finally:
        task.cancel()
        await asyncio.wait({task})


async def test_the_webhook_trusts_the_root_whoever_applies_it_anew() -> None:
    store = Store()
    roots = b"root"
    publisher = BundlePublisher(store, lambda: roots)
    task = asyncio.create_task(publisher.run())
    key = ("mutatingwebhookconfigurations", "", "istio-sidecar-injector")

    def bundles() -> list[str]:
        return [webhook["clientConfig"].get("caBundle", "") for webhook in store.objects[key]["webhooks"]]

    wanted = base64.b64encode(roots).decode()
    try:
        assert publisher.done, "there is nothing to trust it"
        for _ in range(2):
            applied = {
                "metadata": {"name": "istio-sidecar-injector"},
                "webhooks": [{"clientConfig": {}}, {"clientConfig": {"caBundle": "b2xk"}}],
            }
            store.objects[key] = applied
            publisher.observe("ADDED", applied)
            assert not publisher.done
            await store.until(lambda: bundles() == [wanted, wanted])
        written = store.writes
        publisher.observe("MODIFIED", store.objects[key])
        await asyncio.sleep(0)
        assert publisher.done
        assert store.writes == written
    finally:
        task.cancel()
        await asyncio.wait({task})


async def test_a_tag_of_the_revision_trusts_the_root_and_nobody_elses_does() -> None:
    store = Store()
    publisher = BundlePublisher(store, lambda: b"root")
    task = asyncio.create_task(publisher.run())

    def made(name: str, revision: str, path: str) -> dict[str, Any]:
        service = {"name": "istiod", "namespace": "istio-system", "path": path}
        labels = {"istio.io/rev": revision, "istio.io/tag": name}
        return {"metadata": {"name": name, "labels": labels}, "webhooks": [{"clientConfig": {"service": service}}]}

    try:
        for each in (made("prod", "default", "/inject"), made("old", "1-29", "/inject"), made("own", "default", "/x")):
            store.objects["mutatingwebhookconfigurations", "", each["metadata"]["name"]] = each
            publisher.observe("ADDED", each)
        await store.until(lambda: publisher.done)
        trusting = [key[2] for key, each in store.objects.items() if "caBundle" in each["webhooks"][0]["clientConfig"]]
        assert trusting == ["prod"]
    finally:
        task.cancel()
        await asyncio.wait({task})


async def test_the_validating_webhooks_trust_the_root_too_and_are_never_skipped() -> None:
    store = Store()
    publisher = BundlePublisher(store, lambda: b"root")
    task = asyncio.create_task(publisher.run())
    names = ("istio-validator-istio-system", "istiod-default-validator", "somebody-elses")
    try:
        for name in names:
            made = {
                "metadata": {"name": name},
                "webhooks": [{"clientConfig": {}, "failurePolicy": "Ignore"}, {"clientConfig": {}}],
            }
            store.objects["validatingwebhookconfigurations", "", name] = made
            publisher.observe("ADDED", made)
        assert not publisher.done
        await store.until(lambda: publisher.done)
        bundle = base64.b64encode(b"root").decode()
        trusted = {"clientConfig": {"caBundle": bundle}}
        webhooks = [store.objects["validatingwebhookconfigurations", "", name]["webhooks"] for name in names]
        assert webhooks[0] == webhooks[1] == [{**trusted, "failurePolicy": "Fail"}, trusted]
        assert webhooks[2] == [{"clientConfig": {}, "failurePolicy": "Ignore"}, {"clientConfig": {}}]
        publisher.observe("DELETED", {"metadata": {"name": names[0]}})
        assert publisher.done
    finally:
        task.cancel()
        await asyncio.wait({task})


async def test_a_server_shows_its_new_certificate_at_the_next_handshake() -> None:
    trust = Trust(Authority.create("x"))
    certificate = ServingCertificate(trust, ("istiod.istio-system.svc",))
    runner = await serve_http(web.Application(), "127.0.0.1", 0, certificate.context())
    port = runner.addresses[0][1]
    try:
        assert await shown(port) == certificate.current().serial
        before = certificate.current()
        assert certificate.current() is before
        trust.authority = Authority.create("x")
        assert await shown(port) == certificate.current().serial != before.serial
    finally:
        await runner.cleanup()


async def shown(port: int) -> int:
    """The serial number of what a server shows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="istiod.istio-system.svc")
    try:
        content = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        return x509.load_der_x509_certificate(content).serial_number
    finally:
        writer.close()
        await writer.wait_closed()
