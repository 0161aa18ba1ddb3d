"""What istioctl asks of istiod: over ADS with a token, over HTTP, and of ControlZ; each in Istio's form."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from envoy.admin.v3.config_dump_shared_pb2 import ClustersConfigDump, ListenersConfigDump, RoutesConfigDump
from envoy.config.core.v3.base_pb2 import Node
from envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest, DiscoveryResponse
from envoy.service.status.v3.csds_pb2 import ClientConfig, ConfigStatus
from google.protobuf.json_format import MessageToDict, ParseDict
from google.rpc.status_pb2 import Status

from mesh_lab.controlplane.debug.adsdebug import CONFIG_DUMP, DEBUG, METHOD, SYNCZ
from mesh_lab.controlplane.debug.controlz import SCOPES
from mesh_lab.controlplane.world.workloadhealth import ANNOTATION
from mesh_lab.controlplane.xds.typeurls import HEALTH
from mesh_lab.istioversion import ISTIO_VERSION
from tests.unit.controlplane.cluster import config
from tests.unit.controlplane.mesh import Mesh, endpoints, envoy, eventually, meshed, service, virtual_service

CDS = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
LDS = "type.googleapis.com/envoy.config.listener.v3.Listener"
OPERATOR, STRANGER = "operators-token", "strangers-token"


@pytest.fixture
async def plane(tmp_path: Path) -> AsyncIterator[Mesh]:
    async with meshed(tmp_path) as mesh:
        mesh.api.tokens[OPERATOR] = ("istio-system", "default", "", "")
        mesh.api.tokens[STRANGER] = ("shop", "default", "", "")
        yield mesh


@asynccontextmanager
async def stream(plane: Mesh, token: str) -> AsyncIterator[Any]:
    """A call of the method, by a client with this token."""
    published = plane.api.find("configmaps", "istio-ca-root-cert", "default")
    assert published is not None
    tls = grpc.ssl_channel_credentials(published["data"]["root-cert.pem"].encode())
    options = [("grpc.ssl_target_name_override", "istiod.istio-system.svc")]
    async with grpc.aio.secure_channel(f"127.0.0.1:{plane.ports.xds}", tls, options) as channel:
        yield channel.stream_stream(
            METHOD,
            request_serializer=DiscoveryRequest.SerializeToString,
            response_deserializer=DiscoveryResponse.FromString,
        )(metadata=[("authorization", f"Bearer {token}")] if token else None, timeout=15)


async def asked(plane: Mesh, url: str, *names: str, token: str = OPERATOR) -> DiscoveryResponse:
    """What a client such as istioctl's gets for its first request."""
    async with stream(plane, token) as call:
        await call.write(DiscoveryRequest(type_url=url, resource_names=names, response_nonce="a time"))
        response = await call.read()
        assert isinstance(response, DiscoveryResponse), await call.details()
        await call.write(DiscoveryRequest(type_url=url, resource_names=names, response_nonce=response.nonce))
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF, "an ACK gets no answer"
        return response


async def settled(plane: Mesh) -> None:
    async def synced() -> bool:
        return bool((await plane.ask("debug/synced"))["synced"])

    await eventually(synced)


async def test_proxy_status_tells_of_each_proxy_and_type(plane: Mesh) -> None:
    async with envoy(plane, "a", await plane.add_pod("a")) as proxy:
        await proxy.until_ready()
        await settled(plane)
        response = await asked(plane, SYNCZ)
        identity = json.loads(response.control_plane.identifier)
        assert (identity["Component"], identity["ID"]) == ("istiod", "istiod")
        assert identity["Info"]["version"] == ISTIO_VERSION
        config = ClientConfig()
        assert len(response.resources) == 1
        assert response.resources[0].Unpack(config)
        assert config.node.id == "a.default"
        assert dict(config.node.metadata) == {
            "CLUSTER_ID": "Kubernetes",
            "NAMESPACE": "default",
            "ISTIO_VERSION": ISTIO_VERSION,
        }
        states = {part.type_url: part.config_status for part in config.generic_xds_configs}
        assert states[CDS] == states[LDS] == ConfigStatus.SYNCED

        await plane.api.put("virtualservices", virtual_service("bad", "web"))

        async def refused() -> bool:
            known = ClientConfig()
            (await asked(plane, SYNCZ)).resources[0].Unpack(known)
            return any(
                part.config_status == ConfigStatus.ERROR and "no.such" in part.error_state.details
                for part in known.generic_xds_configs
            )

        await eventually(refused)
        rows = await plane.ask("debug/syncz")
        assert "no.such" in rows[0]["resources"][LDS]["lastError"]


async def test_a_dump_equals_what_the_proxy_says_of_itself(plane: Mesh) -> None:
    await plane.api.put("services", service("web"))
    await plane.api.put("endpointslices", endpoints("web", [80]))
    await plane.api.put("virtualservices", virtual_service("vs", "web"))
    async with envoy(plane, "a", await plane.add_pod("a")) as proxy:
        await proxy.until_ready()
        await settled(plane)
        response = await asked(plane, CONFIG_DUMP, "a.default")
        sections = {each.type_url.rpartition(".")[2]: each for each in response.resources}
        own = {
            each["@type"].rpartition(".")[2]: each for each in json.loads(await proxy.get("/config_dump"))["configs"]
        }
        clusters, listeners, routes = ClustersConfigDump(), ListenersConfigDump(), RoutesConfigDump()
        for message in (clusters, listeners, routes):
            assert sections[type(message).__name__].Unpack(message)
        shown = ParseDict(_untyped(own["ClustersConfigDump"]), ClustersConfigDump(), ignore_unknown_fields=True)
        assert [each.cluster for each in clusters.dynamic_active_clusters] == [
            each.cluster for each in shown.dynamic_active_clusters
        ]
        assert [each.name for each in listeners.dynamic_listeners] == ["main", "tls"]
        theirs = ParseDict(_untyped(own["RoutesConfigDump"]), RoutesConfigDump(), ignore_unknown_fields=True)
        assert [MessageToDict(each.route_config) for each in routes.dynamic_route_configs] == [
            MessageToDict(each.route_config) for each in theirs.dynamic_route_configs
        ]
        assert not (await asked(plane, CONFIG_DUMP, "b.default")).resources


def _untyped(section: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in section.items() if key.startswith("dynamic")}


async def test_internal_debug_gives_the_pages_and_says_what_is_none(plane: Mesh) -> None:
    listed = json.loads((await asked(plane, DEBUG, "list")).resources[0].value)
    assert {"syncz", "adsz", "configz", "registryz", "endpointz", "clusterz"} <= set(listed)
    for name in listed:
        if name not in ("config_distribution", "config_dump", "edsz"):
            json.loads((await asked(plane, DEBUG, name)).resources[0].value)
    for name, words in (
        ("nosuchz", "404 page not found"),
        ("edsz", "You must provide a proxyID in the query string"),
        ("edsz?proxyID=b", "Proxy not connected to this Pilot instance"),
    ):
        assert words in (await asked(plane, DEBUG, name)).resources[0].value.decode()


@pytest.mark.parametrize(
    ("token", "url", "names", "code"),
    [
        ("", SYNCZ, (), grpc.StatusCode.UNAUTHENTICATED),
        ("stolen", SYNCZ, (), grpc.StatusCode.UNAUTHENTICATED),
        (STRANGER, DEBUG, ("adsz",), grpc.StatusCode.PERMISSION_DENIED),
        (OPERATOR, DEBUG, (), grpc.StatusCode.INVALID_ARGUMENT),
        (OPERATOR, CDS, (), grpc.StatusCode.UNIMPLEMENTED),
    ],
)
async def test_only_who_may_look_gets_an_answer(
    plane: Mesh, token: str, url: str, names: tuple[str, ...], code: grpc.StatusCode
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await asked(plane, url, *names, token=token)
    assert refused.value.code() is code


async def test_others_see_the_proxies_of_their_own_namespace_only(plane: Mesh) -> None:
    async with envoy(plane, "a", await plane.add_pod("a")) as proxy:
        await proxy.until_ready()
        assert not (await asked(plane, SYNCZ, token=STRANGER)).resources
        assert not (await asked(plane, CONFIG_DUMP, "a.default", token=STRANGER)).resources
        assert len((await asked(plane, SYNCZ)).resources) == 1


async def test_a_machine_reports_its_health(plane: Mesh) -> None:
    entry = config("WorkloadEntry", "by-hand", {"address": "172.31.0.7"}, namespace="shop")
    entry["metadata"]["annotations"] = {ANNOTATION: "true"}
    await plane.api.put("workloadentries", entry)
    node = Node(id="sidecar~172.31.0.7~vm-1.shop~shop.svc.cluster.local")
    node.metadata["WORKLOAD_ENTRY"] = "by-hand"

    def said() -> str:
        found = plane.api.find("workloadentries", "by-hand", "shop") or {}
        return "".join(str(each["status"]) for each in (found.get("status") or {}).get("conditions") or ())

    async with stream(plane, STRANGER) as call:
        await call.write(DiscoveryRequest(type_url=HEALTH, node=node))
        await plane.api.until(lambda: said() == "True")
        await call.write(DiscoveryRequest(type_url=HEALTH, node=node, error_detail=Status(message="down")))
        await plane.api.until(lambda: said() == "False")
    async with stream(plane, OPERATOR) as call:
        await call.write(DiscoveryRequest(type_url=HEALTH, node=node))
        assert await call.code() is grpc.StatusCode.UNAUTHENTICATED
        assert "runs in namespace shop" in await call.details()


async def test_pages_over_http_have_istios_forms(plane: Mesh) -> None:
    await plane.api.put("services", service("web"))
    await plane.api.put("endpointslices", endpoints("web", [8080]))
    await plane.api.put("virtualservices", virtual_service("vs", "web"))
    async with envoy(plane, "a", await plane.add_pod("a")) as proxy:
        await proxy.until_ready()
        await settled(plane)
        assert await plane.ask("/version") == await plane.ask("version"), "istioctl asks with two slashes"
        assert (await plane.ask("version")).startswith(f"{ISTIO_VERSION}-mesh_lab_")
        row = (await plane.ask("debug/syncz"))[0]
        assert (row["proxy"], row["proxy_type"], row["istio_version"]) == ("a.default", "sidecar", ISTIO_VERSION)
        assert row["cluster_sent"] == row["cluster_acked"] != ""
        assert await plane.ask("debug/syncz", namespace="other") == []
        client = (await plane.ask("debug/adsz", proxyID="a.default"))["clients"][0]
        assert client["watches"]["type.googleapis.com/envoy.config.route.v3.RouteConfiguration"] == ["routes"]
        assert [each["hostname"] for each in await plane.ask("debug/registryz")] == ["web.default.svc.cluster.local"]
        shards = (await plane.ask("debug/endpointz"))["web.default.svc.cluster.local"]["default"]["Shards"]
        assert [(e["Addresses"], e["EndpointPort"]) for e in shards["Kubernetes/Kubernetes"]] == [(["127.0.0.1"], 8080)]
        kinds = [(each["kind"], each["metadata"]["name"]) for each in await plane.ask("debug/configz")]
        assert kinds == [("VirtualService", "vs")]
        assert await plane.ask("debug/clusterz") == [{"id": "Kubernetes", "secretName": "", "syncStatus": "synced"}]
        dump = await plane.ask("debug/config_dump", proxyID="a.default")
        assert dump["configs"][1]["dynamicActiveClusters"][0]["cluster"]["name"] == "web"
        spread = await plane.ask("debug/config_distribution", resource="VirtualService/vs/default")
        assert spread == [
            {"proxy": "a.default", "cluster_acked": "1", "listener_acked": "1", "route_acked": "1"},
        ]
        assert "KIND/NAME/NAMESPACE" in await plane.ask("debug/config_distribution", resource="Pod/a/default")


async def test_levels_of_the_log_are_read_and_set(plane: Mesh) -> None:
    url = f"http://127.0.0.1:{plane.ports.controlz}/scopej"
    logger = logging.getLogger(SCOPES["ads"].logger)
    before = logger.level
    try:
        async with plane.session.put(f"{url}/ads", json={"name": "ads", "output_level": "debug"}) as answer:
            assert answer.status == 202
        assert logger.level == logging.DEBUG
        async with plane.session.get(f"{url}/") as answer:
            levels = {scope["name"]: scope["output_level"] for scope in await answer.json()}
        assert (levels["ads"], set(levels)) == ("debug", set(SCOPES))
        for scope, body, words in (
            ("nothing", {}, "unknown scope name"),
            ("ads", {"stack_trace_level": "error"}, "stack traces"),
        ):
            async with plane.session.put(f"{url}/{scope}", json=body) as answer:
                assert (answer.status, words in await answer.text()) == (400, True)
        async with plane.session.get(f"http://127.0.0.1:{plane.ports.controlz}/") as answer:
            page = await answer.text()
        assert (answer.status, "  ads: debug\n" in page, "istioctl admin log" in page) == (200, True, True)
    finally:
        logger.setLevel(before)
