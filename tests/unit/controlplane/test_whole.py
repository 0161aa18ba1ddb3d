"""The control plane as a whole, with real Envoys over TLS on loopback."""

from __future__ import annotations

import asyncio
import base64
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import grpc
import grpc.aio
import pytest
from cryptography import x509
from envoy.config.core.v3.base_pb2 import Node
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest

from mesh_lab.controlplane.trust.ca import Authority
from mesh_lab.controlplane.world.findings import Finding
from mesh_lab.controlplane.world.kubernetes import Origin
from tests.unit.controlplane.authorities import istio_form, secret, signer
from tests.unit.controlplane.cluster import config
from tests.unit.controlplane.mesh import Envoy, Mesh, endpoints, envoy, eventually, meshed, service, virtual_service


def open_files(pid: int) -> list[str]:
    return [descriptor.readlink().name for descriptor in Path(f"/proc/{pid}/fd").iterdir()]


METHOD = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"


@pytest.fixture
async def plane(tmp_path: Path) -> AsyncIterator[Mesh]:
    async with meshed(tmp_path) as mesh:
        yield mesh


async def serve_admin_of(plane: Mesh, proxy: Envoy, name: str = "vs") -> None:
    """Route /ready to the proxy's own administration interface, the one server that is there."""
    await plane.api.put("services", service("web"))
    await plane.api.put("endpointslices", endpoints("web", [int(proxy.admin.rpartition(":")[2])]))
    await plane.api.put("virtualservices", virtual_service(name, "web", prefix="/ready"))


async def status_of(plane: Mesh, proxy: Envoy, path: str) -> int:
    async with plane.session.get(f"http://{await proxy.listener('main')}{path}") as response:
        return response.status


def certificate_at(address: str) -> x509.Certificate:
    host, _, port = address.rpartition(":")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((host, int(port)), 5) as plain, context.wrap_socket(plain) as wrapped:
        shown = wrapped.getpeercert(binary_form=True)
    assert shown is not None
    return x509.load_der_x509_certificate(shown)


async def test_a_proxy_with_its_pods_token_serves_what_is_stored(plane: Mesh) -> None:
    async with envoy(plane, "a", await plane.add_pod("a")) as proxy:
        await proxy.until_ready()
        assert await status_of(plane, proxy, "/ready") == 404
        await serve_admin_of(plane, proxy)
        answer = await plane.live("VirtualService", "vs")
        assert answer["live"], answer
        assert answer["proxies"] == [{"proxy": "a.default", "state": "acknowledged", "error": ""}]
        assert await status_of(plane, proxy, "/ready") == 200
        await plane.api.remove("virtualservices", "vs", "default")
        answer = await plane.live("VirtualService", "vs")
        assert (answer["found"], answer["live"]) == (False, True)
        assert await status_of(plane, proxy, "/ready") == 404


async def test_a_proxy_shows_the_certificate_of_its_own_identity(plane: Mesh) -> None:
    async with envoy(plane, "a", await plane.add_pod("a")) as proxy:
        await proxy.until_ready()
        shown = await asyncio.to_thread(certificate_at, await proxy.listener("tls"))
        names = shown.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
        assert uris == ["spiffe://cluster.local/ns/default/sa/default"]
        secret = plane.api.find("secrets", "istio-ca-secret", "istio-system")
        assert secret is not None
        root = x509.load_pem_x509_certificate(base64.b64decode(secret["data"]["root-cert.pem"]))
        shown.verify_directly_issued_by(root)


async def test_a_proxy_takes_no_inotify_instance_and_ends_well(plane: Mesh) -> None:
    async with envoy(plane, "a", await plane.add_pod("a")) as proxy:
        await proxy.until_ready()
        taken = [name for name in await asyncio.to_thread(open_files, proxy.process.pid) if "inotify" in name]
        assert taken == [], "Linux gives 128 to a user, for all proxies"
        proxy.process.terminate()
        assert await asyncio.to_thread(proxy.process.wait, 10) == 0, proxy.log()


async def test_certificates_are_renewed_at_half_of_their_life(tmp_path: Path) -> None:
    short = timedelta(seconds=2)
    async with (
        meshed(tmp_path, issue_for=short) as plane,
        envoy(plane, "a", await plane.add_pod("a")) as proxy,
    ):
        await proxy.until_ready()
        address = await proxy.listener("tls")
        first = await asyncio.to_thread(certificate_at, address)

        async def is_another() -> bool:
            return (await asyncio.to_thread(certificate_at, address)).serial_number != first.serial_number

        await eventually(is_another)
        assert await proxy.listener("tls") == address, "the listener was not made anew"


async def test_an_edited_root_reaches_proxies_and_namespaces(plane: Mesh) -> None:
    async with envoy(plane, "a", await plane.add_pod("a")) as proxy:
        await proxy.until_ready()
        secret = plane.api.find("secrets", "istio-ca-secret", "istio-system")
        assert secret is not None
        old, new = base64.b64decode(secret["data"]["root-cert.pem"]), Authority.create("cluster.local")
        parts = {"ca-cert.pem": new.certificate, "ca-key.pem": new.key, "root-cert.pem": old + new.roots}
        data = {name: base64.b64encode(content).decode() for name, content in parts.items()}
        await plane.api.put("secrets", {**secret, "data": data})
        root = x509.load_pem_x509_certificate(new.certificate)

        async def is_of_the_new_root() -> bool:
            shown = await asyncio.to_thread(certificate_at, await proxy.listener("tls"))
            identifier = shown.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
            return identifier == root.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest

        await eventually(is_of_the_new_root)
        both = (old + new.roots).decode()

        def is_published() -> bool:
            published = plane.api.find("configmaps", "istio-ca-root-cert", "default")
            return published is not None and published["data"]["root-cert.pem"] == both

        await plane.api.until(is_published)


async def test_an_authority_that_a_user_brings_along_signs_for_proxies_from_the_next_start(plane: Mesh) -> None:
    root = signer("root")
    signing = signer("signing", root)
    await plane.kill()
    await plane.api.put("secrets", secret(istio_form(signing, root)))
    await plane.start()

    def is_published() -> bool:
        published = plane.api.find("configmaps", "istio-ca-root-cert", "default")
        return published is not None and published["data"]["root-cert.pem"].encode() == root.pem

    await plane.api.until(is_published)
    async with envoy(plane, "a", await plane.add_pod("a")) as proxy:
        await proxy.until_ready()
        shown = await asyncio.to_thread(certificate_at, await proxy.listener("tls"))
        shown.verify_directly_issued_by(signing.certificate)


async def test_a_nack_is_reported_on_the_resource_and_the_rest_goes_on(plane: Mesh) -> None:
    async with envoy(plane, "a", await plane.add_pod("a")) as proxy:
        await proxy.until_ready()
        await plane.api.put("virtualservices", virtual_service("bad", "web"))
        answer = await plane.live("VirtualService", "bad")
        assert not answer["live"]
        assert [row["state"] for row in answer["proxies"]] == ["rejected"]
        assert "no.such" in answer["proxies"][0]["error"]
        await serve_admin_of(plane, proxy)
        assert (await plane.live("VirtualService", "vs"))["live"]
        assert await status_of(plane, proxy, "/ready") == 200

        def condition() -> tuple[str, str]:
            stored = plane.api.find("virtualservices", "bad", "default") or {}
            found = stored.get("status", {}).get("conditions") or [{"status": "", "message": ""}]
            return found[0]["status"], found[0]["message"]

        await plane.api.until(lambda: condition()[0] == "False")
        assert "a.default" in condition()[1]
        assert "no.such" in condition()[1]
        await plane.api.until(lambda: bool(plane.api.objects.get("events")))
        (event,) = plane.api.objects["events"].values()
        assert (event["type"], event["involvedObject"]["name"]) == ("Warning", "bad")
        good = plane.api.find("virtualservices", "vs", "default")
        assert good is not None
        assert "status" not in good, "who was never in trouble has no status"


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_proxy_that_has_nothing_yet_blames_only_what_others_blame(plane: Mesh, restarted: bool) -> None:
    def conditions_of(name: str) -> str:
        stored = plane.api.find("virtualservices", name, "default") or {}
        return "; ".join(each["message"] for each in stored.get("status", {}).get("conditions") or ())

    async with envoy(plane, "a", await plane.add_pod("a")) as first:
        await first.until_ready()
        await plane.api.put("services", service("web"))
        await plane.api.put("virtualservices", virtual_service("fine", "web"))
        assert (await plane.live("VirtualService", "fine"))["live"]
        await plane.api.put("virtualservices", virtual_service("wrong", "web"))
        await plane.api.until(lambda: "a.default" in conditions_of("wrong"))
        if restarted:
            await plane.kill()
            await plane.start()
        async with envoy(plane, "b", await plane.add_pod("b")):
            await plane.api.until(lambda: "a.default, b.default" in conditions_of("wrong"))
            assert conditions_of("fine") == ""
            answer = await plane.ask("debug/synced", wait="30")
            assert (answer["synced"], answer["hopeless"]) == (False, True), "known at once, and not when the time is up"
            await plane.api.remove("virtualservices", "wrong", "default")
            answer = await plane.ask("debug/synced", wait="10")
            assert (answer["synced"], answer["hopeless"]) == (True, False)


async def test_a_refusal_is_taken_back_once_the_proxy_has_what_it_should(plane: Mesh) -> None:
    """A status of an earlier life of the control plane counts as well."""
    condition = {"type": "Programmed", "status": "False", "reason": "Rejected", "message": "was bad"}
    async with envoy(plane, "a", await plane.add_pod("a")) as proxy:
        await proxy.until_ready()
        stored = virtual_service("vs", "web")
        stored["status"] = {"conditions": [condition, {"type": "Other", "status": "True"}]}
        await plane.api.put("services", service("web"))
        await plane.api.put("virtualservices", stored)

        def statuses() -> list[tuple[str, str]]:
            found = plane.api.find("virtualservices", "vs", "default") or {}
            return [(c["type"], c["status"]) for c in found["status"]["conditions"]]

        await plane.api.until(lambda: statuses() == [("Other", "True"), ("Programmed", "True")])


async def test_findings_stand_in_the_status_for_as_long_as_they_hold(plane: Mesh) -> None:
    origin = Origin("VirtualService", "default", "vs")
    plane.findings.append(Finding("warning", "IST0101", "no such host", "spec.hosts[0]", origin))
    await plane.api.put("virtualservices", virtual_service("vs", "web"))

    def messages() -> list[str]:
        found = plane.api.find("virtualservices", "vs", "default") or {}
        return [m["message"] for m in found.get("status", {}).get("validationMessages") or ()]

    await plane.api.until(lambda: messages() == ["spec.hosts[0]: no such host"])
    written = plane.api.writes.count(("virtualservices", "vs"))
    await plane.api.put("services", service("unrelated"))
    await plane.live("Service", "unrelated")
    plane.findings.clear()
    await plane.api.put("services", service("another"))
    await plane.api.until(lambda: messages() == [])
    assert plane.api.writes.count(("virtualservices", "vs")) == written + 1


async def test_a_finding_is_a_condition_while_it_holds_and_an_event_each_time_that_it_comes_up(plane: Mesh) -> None:
    origin = Origin("VirtualService", "default", "vs")
    missing = Finding("error", "IST0101", "no such host", "spec.hosts[0]", origin)
    doubtful = Finding("warning", "IST0130", "not used", "spec.http[1]", origin)
    remark = Finding("info", "IST0133", "by the way", "spec", origin)

    def conditions() -> list[tuple[str, str, str, str]]:
        found = plane.api.find("virtualservices", "vs", "default") or {}
        listed = found.get("status", {}).get("conditions") or ()
        return [(c["type"], c["status"], c["reason"], c["message"]) for c in listed]

    def events() -> dict[str, tuple[str, str, int]]:
        stored = plane.api.objects.get("events", {}).values()
        return {e["reason"]: (e["type"], e["message"], e["count"]) for e in stored}

    plane.findings += [doubtful, missing, remark]
    await plane.api.put("virtualservices", virtual_service("vs", "web"))
    text = "spec.hosts[0]: no such host; spec.http[1]: not used"
    await plane.api.until(lambda: conditions() == [("HasFindings", "True", "ReferencedResourceNotFound", text)])
    first = {
        "ReferencedResourceNotFound": ("Warning", "spec.hosts[0]: no such host", 1),
        "VirtualServiceUnreachableRule": ("Warning", "spec.http[1]: not used", 1),
    }
    await plane.api.until(lambda: events() == first)
    plane.findings[:] = [doubtful]
    await plane.api.put("services", service("web"))
    await plane.api.until(lambda: [c[2:] for c in conditions()] == [(doubtful.name, "spec.http[1]: not used")])
    plane.findings[:] = [missing]
    await plane.api.put("services", service("another"))
    await plane.api.until(lambda: events()[missing.name][2] == 2)
    assert events()[doubtful.name][2] == 1, "a finding that stays is one Event"
    plane.findings.clear()
    await plane.api.put("services", service("a-third"))
    await plane.api.until(lambda: conditions() == [])


async def test_a_finding_that_is_gone_at_once_makes_no_event(plane: Mesh) -> None:
    async def found(name: str) -> None:
        origin = Origin("VirtualService", "default", name)
        plane.findings[:] = [Finding("error", "IST0101", "no such host", "spec.hosts[0]", origin)]
        await plane.api.put("virtualservices", virtual_service(name, "web"))
        await plane.api.until(lambda: bool((plane.api.find("virtualservices", name, "default") or {}).get("status")))

    await found("passing")
    await found("staying")
    await plane.api.until(lambda: bool(plane.api.objects.get("events")))
    assert [event["involvedObject"]["name"] for event in plane.api.objects["events"].values()] == ["staying"]


async def test_findings_of_an_earlier_life_are_not_reported_again(plane: Mesh) -> None:
    origin = Origin("VirtualService", "default", "vs")
    plane.findings.append(Finding("error", "IST0101", "no such host", "spec.hosts[0]", origin))
    await plane.api.put("virtualservices", virtual_service("vs", "web"))
    await plane.api.until(lambda: len(plane.api.objects.get("events", {})) == 1)
    await plane.kill()
    await plane.start()
    plane.findings.append(Finding("error", "IST0109", "twice", "spec.hosts", origin))
    await plane.api.put("services", service("web"))
    await plane.api.until(lambda: len(plane.api.objects["events"]) == 2)
    assert [event["count"] for event in plane.api.objects["events"].values()] == [1, 1]


async def test_a_resource_that_is_deleted_while_its_status_is_written_is_no_reason_to_warn(
    plane: Mesh, caplog: pytest.LogCaptureFixture
) -> None:
    origin = Origin("VirtualService", "default", "vs")
    await plane.api.put("virtualservices", virtual_service("vs", "web"))
    await plane.live("VirtualService", "vs")
    plane.api.objects["virtualservices"].clear()  # and the watch has not said so yet
    plane.findings.append(Finding("warning", "IST0130", "not used", "spec.http[1]", origin))
    await plane.api.put("services", service("web"))
    await eventually_written(plane, ("virtualservices", "vs"))
    await plane.live("Service", "web")
    assert [record.message for record in caplog.records if record.name.endswith("reporting")] == []


async def eventually_written(plane: Mesh, what: tuple[str, str]) -> None:
    async def written() -> bool:
        return what in plane.api.writes

    await eventually(written)


async def test_traffic_goes_on_without_a_control_plane_and_it_catches_up(plane: Mesh) -> None:
    async with envoy(plane, "a", await plane.add_pod("a")) as proxy:
        await proxy.until_ready()
        await serve_admin_of(plane, proxy)
        await plane.live("VirtualService", "vs")
        await plane.kill()
        assert await status_of(plane, proxy, "/ready") == 200
        await plane.api.put("virtualservices", virtual_service("another", "web", prefix="/stats"))
        await plane.start()
        answer = await plane.live("VirtualService", "another")
        assert answer["live"], answer
        assert await status_of(plane, proxy, "/stats") == 200
        assert await status_of(plane, proxy, "/ready") == 200


async def test_a_ready_pod_that_is_not_connected_stands_in_the_way(plane: Mesh) -> None:
    await plane.add_pod("away")
    await plane.api.put("services", service("web"))
    answer = await plane.live("Service", "web", wait=0.3)
    assert not answer["live"]
    assert [(row["proxy"], row["state"]) for row in answer["proxies"]] == [("away.default", "not-connected")]
    assert not (await plane.ask("debug/synced"))["synced"]


async def test_the_api_servers_restart_is_lived_through(plane: Mesh) -> None:
    async with envoy(plane, "a", await plane.add_pod("a")) as proxy:
        await proxy.until_ready()
        port = int(plane.api.url.rpartition(":")[2])
        await plane.api.stop()
        await serve_admin_of(plane, proxy)
        await plane.api.start(port)
        answer = await plane.live("VirtualService", "vs")
        assert answer["live"], answer


async def test_a_gateway_gets_the_secrets_of_its_own_namespace(plane: Mesh) -> None:
    authority = Authority.create("someone")
    leaf = authority.issue_server(("shop.example",), timedelta(days=1))
    pair = {"tls.crt": leaf.chain, "tls.key": leaf.key}
    data = {name: base64.b64encode(content).decode() for name, content in pair.items()}
    token = await plane.add_pod("gw", templates="gateway")
    async with envoy(plane, "gw", token, kind="router") as proxy:
        elsewhere = {"metadata": {"name": "credential", "namespace": "elsewhere"}, "data": data}
        await plane.api.put("secrets", elsewhere)
        await plane.live("Secret", "credential", namespace="elsewhere")

        async def waits_for_its_certificate() -> bool:
            answer = await plane.ask("debug/synced")
            return [row.get("pending") for row in answer["proxies"]] == [["Secret kubernetes://credential"]]

        await eventually(waits_for_its_certificate)
        await plane.api.put("secrets", {"metadata": {"name": "credential", "namespace": "default"}, "data": data})
        await proxy.until_ready()
        shown = await asyncio.to_thread(certificate_at, await proxy.listener("tls"))
        assert shown.serial_number == leaf.serial


async def refusal(plane: Mesh, token: str, node: str | Node) -> tuple[grpc.StatusCode, str]:
    """What a caller with this token and this name gets for an answer."""
    published = plane.api.find("configmaps", "istio-ca-root-cert", "default")
    assert published is not None
    tls = grpc.ssl_channel_credentials(published["data"]["root-cert.pem"].encode())
    options = [("grpc.ssl_target_name_override", "istiod.istio-system.svc")]
    async with grpc.aio.secure_channel(f"127.0.0.1:{plane.ports.xds}", tls, options) as channel:
        call = channel.stream_stream(METHOD, request_serializer=DeltaDiscoveryRequest.SerializeToString)(
            metadata=[("authorization", token)] if token else None, timeout=15
        )
        with suppress(grpc.aio.AioRpcError):  # who has no token is refused before it has said anything
            await call.write(DeltaDiscoveryRequest(node=_node(node), type_url="type.googleapis.com/x"))
        return await call.code(), await call.details()


def _node(node: str | Node) -> Node:
    return Node(id=node) if isinstance(node, str) else node


OWN_NODE = "sidecar~127.0.0.1~a.default~default.svc.cluster.local"


@pytest.mark.parametrize(
    ("token", "node", "words"),
    [
        ("", OWN_NODE, "no token"),
        ("made up", OWN_NODE, "not valid"),
        ("token-of-default-a", "sidecar~127.0.0.1~b.default~default.svc.cluster.local", "calls itself"),
        ("token-of-default-a", "router~127.0.0.1~a.default~default.svc.cluster.local", "calls itself"),
        ("token-of-default-a", "sidecar~10.0.0.1~a.default~default.svc.cluster.local", "calls itself"),
    ],
)
async def test_who_is_not_who_it_says_is_refused(plane: Mesh, token: str, node: str, words: str) -> None:
    await plane.add_pod("a")
    code, details = await refusal(plane, token, node)
    assert code is grpc.StatusCode.UNAUTHENTICATED
    assert words in details


MACHINE = "sidecar~172.31.0.7~vm-1.default~default.svc.cluster.local"


@pytest.mark.parametrize(
    ("node", "words"),
    [
        (MACHINE, "WorkloadEntry default/by-hand is of service account other"),
        (MACHINE.replace("default", "vm"), "runs in namespace vm"),
        (OWN_NODE, "not that of pod default/a"),
    ],
)
async def test_a_machine_that_is_not_what_it_says_is_refused(plane: Mesh, node: str, words: str) -> None:
    await plane.add_pod("a")
    spec = {"address": "172.31.0.7", "serviceAccount": "other"}
    await plane.api.put("workloadentries", config("WorkloadEntry", "by-hand", spec))
    plane.api.tokens["machine"] = ("default", "default", "", "")
    code, details = await refusal(plane, "machine", node)
    assert code is grpc.StatusCode.UNAUTHENTICATED
    assert words in details


async def test_a_machine_registers_with_its_group(plane: Mesh) -> None:
    plane.api.tokens["machine"] = ("default", "default", "", "")
    node = Node(id=MACHINE)
    node.metadata["AUTO_REGISTER_GROUP"] = "ratings"
    code, details = await refusal(plane, "machine", node)
    assert (code, details.endswith("cannot find WorkloadGroup default/ratings")) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        True,
    )
    await plane.api.put("workloadgroups", config("WorkloadGroup", "ratings", {"template": {"ports": {"http": 80}}}))
    asking = asyncio.create_task(refusal(plane, "machine", node))
    await plane.api.until(lambda: plane.api.find("workloadentries", "ratings-172.31.0.7", "default") is not None)
    entry = plane.api.find("workloadentries", "ratings-172.31.0.7", "default")
    assert entry is not None
    assert entry["spec"] == {"address": "172.31.0.7", "ports": {"http": 80}}
    asking.cancel()


async def test_a_machine_serves_what_is_stored_until_its_entry_is_anothers(plane: Mesh) -> None:
    plane.api.tokens["machine"] = ("default", "default", "", "")
    async with envoy(plane, "vm-1", "machine", expand={"INSTANCE_IP": "172.31.0.7"}) as proxy:
        await proxy.until_ready()
        await serve_admin_of(plane, proxy)
        answer = await plane.live("VirtualService", "vs")
        assert answer["proxies"] == [{"proxy": "vm-1.default", "state": "acknowledged", "error": ""}]
        spec = {"address": "172.31.0.7", "serviceAccount": "other"}
        await plane.api.put("workloadentries", config("WorkloadEntry", "by-hand", spec))

        async def is_out() -> bool:
            return (await plane.live("VirtualService", "vs"))["proxies"] == []

        await eventually(is_out)


async def test_what_is_asked_wrongly_is_answered_with_what_would_be_right(plane: Mesh) -> None:
    assert "VirtualService" in await plane.ask("debug/config", kind="VirtualServices", name="x")
    assert "no proxy 'x' is connected" in await plane.ask("debug/config_dump", proxy="x")
    async with envoy(plane, "a", await plane.add_pod("a")) as proxy:
        await proxy.until_ready()
        dump = await plane.ask("debug/config_dump", proxy="a.default")
        assert {"main", "tls"} <= {entry["name"] for entry in dump["Listener"]}
        assert [entry["resource"] for entry in dump["Secret"]] == [None], "keys are not shown"
        assert "pilot_xds 1" in await plane.ask("metrics")
