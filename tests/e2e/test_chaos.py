"""Chaos does what it says, as long as it says, and no longer; and the mesh keeps what it promises meanwhile."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mesh_lab.networkfaults import ENDED, PREFIX, REFUSED
from mesh_lab.rfc3339 import parse
from mesh_lab.testing import (
    Chaos,
    ChaosError,
    Mesh,
    Reference,
    TrafficClient,
    assert_all,
    assert_no_errors,
    assert_split,
    destination_rule,
    eventually,
    gateway,
    reference,
    route,
    to,
    virtual_service,
)

from .revisions import SYSTEM, await_injection, control_plane

pytestmark = [pytest.mark.timeout(180)]
network = pytest.mark.mesh_clusters("embedded")
RETRIES = {"attempts": 3, "perTryTimeout": "0.5s", "retryOn": "connect-failure,reset,5xx"}
RETRYING = virtual_service("echo", route(to("echo", port=80), retries=RETRIES))


@pytest.fixture
def url(mesh: Mesh) -> str:
    url = mesh.deploy_echo("echo", ["v1", "v2"])
    mesh.deploy_client()
    mesh.ready()
    mesh.wait_endpoints("echo", 2)
    return url


@pytest.fixture
def client(mesh: Mesh, url: str) -> TrafficClient:
    return mesh.client()


@network
def test_a_partition_keeps_every_request_from_its_pod_and_ends_with_its_block(
    mesh: Mesh, chaos: Chaos, url: str, client: TrafficClient
) -> None:
    with chaos.partition(mesh.pod("echo", "v1"), from_=mesh.pod("client")) as fault:
        answers = client.send(url, 40, concurrency=10, timeout=1.0)
        assert set(answers.with_status(200).versions()) == {"v2"}
        assert len(answers.with_status(200)) < len(answers)
    assert fault.packets
    assert_no_errors(client.send(url, 100))


@network
def test_a_delay_is_added_to_each_answer_of_its_pod_and_to_no_other(
    mesh: Mesh, chaos: Chaos, url: str, client: TrafficClient
) -> None:
    client.send(url, 20)  # connections are open
    with chaos.delay(mesh.pod("echo", "v1"), by=0.2, to=mesh.pod("client")):
        answers = client.send(url, 40, concurrency=10)
    assert_no_errors(answers)
    assert min(each.duration_ms for each in answers if each.version == "v1") >= 200
    assert min(each.duration_ms for each in answers if each.version == "v2") < 200
    assert max(each.duration_ms for each in client.send(url, 40)) < 200


@network
def test_a_partition_is_masked_by_retries_at_another_endpoint(
    mesh: Mesh, chaos: Chaos, url: str, client: TrafficClient
) -> None:
    # A try's own timeout begins once it is connected.
    quickly = destination_rule("echo", policy={"connectionPool": {"tcp": {"connectTimeout": "0.3s"}}})
    with mesh.applied([RETRYING, quickly]), chaos.partition(mesh.pod("echo", "v1"), from_=mesh.pod("client")):
        assert_all(client.send(url, 40, concurrency=10), version="v2")


@network
@pytest.mark.mesh_injection(False)
def test_loss_drops_about_its_ratio_of_packets_and_tcp_sends_them_again(
    mesh: Mesh, chaos: Chaos, url: str, client: TrafficClient
) -> None:
    first_try_lost = 1000.0  # ms: what Linux waits for the answer to its first SYN
    with chaos.loss(mesh.pod("client"), 0.2, to=[mesh.pod("echo", "v1"), mesh.pod("echo", "v2")]) as fault:
        answers = client.send(url, 400, concurrency=50, new_connections=True, timeout=30.0)
    assert_no_errors(answers)
    assert_split(
        answers, {"lost": 20, "not": 80}, by=lambda each: "lost" if each.duration_ms >= first_try_lost else "not"
    )
    assert fault.packets


@network
def test_a_pod_without_dns_finds_no_name_and_finds_it_again_afterwards(
    mesh: Mesh, chaos: Chaos, url: str, client: TrafficClient
) -> None:
    with chaos.cut_dns(mesh.pod("client")):
        answers = client.send(url, 2, concurrency=2, new_connections=True, timeout=2.0)
        assert not answers.with_status(200)
    assert_no_errors(client.send(url, 10, new_connections=True))


@network
def test_a_proxy_that_is_cut_off_from_istiod_serves_what_it_has_and_learns_the_rest_afterwards(
    mesh: Mesh, chaos: Chaos, url: str, client: TrafficClient
) -> None:
    fixed = virtual_service("echo", route(to("echo", "v2", port=80)))
    mesh.apply([destination_rule("echo", "v1", "v2")])
    with chaos.cut_off_istiod(mesh.pod("client")):
        (changed,) = mesh.apply(fixed)
        with pytest.raises(TimeoutError, match="client"):
            mesh.wait_live(changed, timeout=1.0)
        answers = client.send(url, 100)
        assert_no_errors(answers)
        assert set(answers.versions()) == {"v1", "v2"}
    mesh.wait_live(changed, timeout=60.0)
    assert_all(client.send(url, 50), version="v2")


@network
def test_a_slow_istiod_delays_a_change_by_as_much(mesh: Mesh, chaos: Chaos, url: str, client: TrafficClient) -> None:
    with chaos.slow_istiod(mesh.pod("client"), by=1.0):
        (changed,) = mesh.apply(RETRYING)
        with pytest.raises(TimeoutError, match="client"):
            mesh.wait_live(changed, timeout=0.5)
        mesh.wait_live(changed)


CERTIFICATE_SECONDS = 8.0
ONE_REQUEST_EACH = destination_rule("echo", policy={"connectionPool": {"http": {"maxRequestsPerConnection": 1}}})


@pytest.fixture
def brief(mesh: Mesh, mesh_in: Callable[[str], Mesh]) -> Iterator[None]:
    """A control plane whose certificates are good for some seconds; the test's namespace is of its revision."""
    made = control_plane(mesh.api, "brief", DEFAULT_WORKLOAD_CERT_TTL=f"{CERTIFICATE_SECONDS:g}s")
    for obj in made:
        mesh.api.apply(obj)
    mesh_in(SYSTEM).ready()
    await_injection(mesh.api, "istio-sidecar-injector-brief")
    labels = {"istio-injection": None, "istio.io/rev": "brief"}
    mesh.api.patch(Reference("v1", "Namespace", mesh.namespace), {"metadata": {"labels": labels}})
    mesh.apply(ONE_REQUEST_EACH)  # pods that come later begin with it
    yield
    mesh.remove(reference(obj) for obj in made)


@network
@pytest.mark.mesh_exclusive
def test_a_proxy_whose_certificate_has_expired_is_let_in_by_nobody_until_it_has_another(
    mesh: Mesh, chaos: Chaos, brief: None, url: str, client: TrafficClient
) -> None:
    assert_no_errors(client.send(url, 10))
    with chaos.cut_off_istiod(mesh.pod("client")):
        eventually(lambda: expiry(mesh) < datetime.now(UTC), timeout=2 * CERTIFICATE_SECONDS, why="it has expired")
        assert_all(client.send(url, 10), status=503)
    eventually(lambda: expiry(mesh) > datetime.now(UTC), timeout=60.0, why="the proxy has another certificate")
    assert_no_errors(client.send(url, 10))


def expiry(mesh: Mesh) -> datetime:
    """When the certificate that the client's proxy shows to others expires."""
    chains = [each["cert_chain"] for each in json.loads(mesh.proxy("client").admin("/certs"))["certificates"]]
    return max(parse(each["expiration_time"]) for chain in chains for each in chain)


# What ends by itself, and what never begins


@network
def test_a_fault_ends_by_itself_when_the_process_of_its_test_is_killed(
    mesh: Mesh, url: str, client: TrafficClient, mesh_kubeconfig: Path
) -> None:
    pod = mesh.pod("echo", "v1")
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(mesh_kubeconfig), json.dumps(pod)], stdout=subprocess.PIPE, text=True
    ) as killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == "in force\n"
        killed.kill()
    ended = mesh.api.wait_until(
        mesh.api.path("v1", "Pod", mesh.namespace),
        lambda pods: bool(faults_of(pods[pod["metadata"]["name"]], ENDED)),
        timeout=20.0,
        why="the fault ends at its time",
        describe=str,
    )
    (message,) = faults_of(ended[pod["metadata"]["name"]], ENDED)
    assert "packets: " in message
    assert_no_errors(client.send(url, 100))


KILLED = """
import json, sys, time
from pathlib import Path
from mesh_lab.testing import Api, Chaos
chaos = Chaos(Api(Path(sys.argv[1])), seed="killed")
chaos.partition(json.loads(sys.argv[2]), seconds=3)
print("in force", flush=True)
time.sleep(60)
"""


@network
def test_what_is_no_fault_is_refused_on_the_pod_with_the_field_that_is_wrong(mesh: Mesh) -> None:
    mesh.deploy_echo()
    mesh.ready()
    pod = mesh.pod("echo")
    name = pod["metadata"]["name"]
    wrong = {"kind": "loss", "ratio": 2, "until": "2040-01-01T00:00:00Z"}
    mesh.api.patch(
        Reference("v1", "Pod", name, mesh.namespace),
        {"metadata": {"annotations": {f"{PREFIX}wrong": json.dumps(wrong)}}},
    )
    pods = mesh.api.wait_until(
        mesh.api.path("v1", "Pod", mesh.namespace),
        lambda pods: bool(faults_of(pods[name], REFUSED)),
        timeout=20.0,
        why="the fault is refused",
        describe=str,
    )
    (message,) = faults_of(pods[name], REFUSED)
    assert "$.ratio" in message


def faults_of(pod: dict[str, Any], reason: str) -> list[str]:
    """The messages of a pod's faults that were answered with this reason."""
    conditions = pod["status"]["conditions"]
    return [each["message"] for each in conditions if each["type"].startswith(PREFIX) and each["reason"] == reason]


@network
def test_a_fault_that_ended_before_its_block_is_no_success(mesh: Mesh, chaos: Chaos) -> None:
    mesh.deploy_echo()
    mesh.ready()
    pod = mesh.pod("echo")
    with pytest.raises(ChaosError, match="ended by itself"), chaos.partition(pod, seconds=1.0):
        mesh.api.wait_until(
            mesh.api.path("v1", "Pod", mesh.namespace),
            lambda pods: bool(faults_of(pods[pod["metadata"]["name"]], ENDED)),
            timeout=20.0,
            why="the fault ends at its time",
            describe=str,
        )


# Endpoints


def test_a_failing_endpoint_is_masked_by_retries_at_another(
    mesh: Mesh, chaos: Chaos, url: str, client: TrafficClient
) -> None:
    with chaos.failing(mesh.echo("echo", "v1"), 500):
        answers = client.send(url, 40)
        assert answers.with_status(500)
        with mesh.applied([RETRYING]):
            assert_all(client.send(url, 40), version="v2")
    assert_no_errors(client.send(url, 40))


# Kills


def test_no_request_is_lost_when_a_pod_is_killed(mesh: Mesh, chaos: Chaos, url: str, client: TrafficClient) -> None:
    with mesh.applied([RETRYING]), client.sending(url, 50_000, rate=100) as sending:
        chaos.kill(chaos.any_of([mesh.pod("echo", "v1"), mesh.pod("echo", "v2")]))
        chaos.wait_back()
        mesh.wait_endpoints("echo", 2)
        assert_no_errors(sending.stop())


def test_no_request_is_lost_when_a_sidecar_is_killed(mesh: Mesh, chaos: Chaos, url: str, client: TrafficClient) -> None:
    with mesh.applied([RETRYING]), client.sending(url, 50_000, rate=100) as sending:
        chaos.kill_sidecar(mesh.pod("echo", "v1"))
        mesh.ready()
        mesh.wait_endpoints("echo", 2)
        assert_no_errors(sending.stop())


@pytest.mark.mesh_exclusive
@pytest.mark.mesh_clusters("embedded", "kind")
def test_no_request_is_lost_while_istiod_is_killed_and_configuration_goes_on_afterwards(
    mesh: Mesh, chaos: Chaos, mesh_in: Callable[[str], Mesh], url: str, client: TrafficClient
) -> None:
    with client.sending(url, 50_000, rate=100) as sending:
        chaos.kill_istiod()
        chaos.wait_back()
        mesh_in("istio-system").wait_endpoints("istiod", 1)
        (changed,) = mesh.apply(RETRYING)
        mesh.wait_live(changed, timeout=60.0)
        assert_no_errors(sending.stop())


@pytest.mark.mesh_exclusive
@pytest.mark.mesh_injection(False)
@pytest.mark.mesh_clusters("embedded", "kind")
def test_the_gateway_serves_again_after_it_was_killed(
    mesh: Mesh, chaos: Chaos, mesh_in: Callable[[str], Mesh], url: str, client: TrafficClient
) -> None:
    gateways, host = mesh_in("istio-system"), f"{mesh.namespace}.example"
    http = {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": [host]}
    routes = virtual_service(host, route(to("echo", port=80)), name="front", gateways=["front"])
    with mesh.applied([gateway("front", http), routes]):
        (killed,) = chaos.kill_gateway()
        chaos.wait_back()
        gateways.wait_endpoints("istio-ingressgateway", 1)
        (present,) = gateways.pods("istio-ingressgateway")
        assert present["metadata"]["uid"] != killed["metadata"]["uid"]
        assert_no_errors(client.send("http://istio-ingressgateway.istio-system/", 50, headers={"host": host}))


def test_what_all_would_feel_is_not_done_without_saying_so(chaos: Chaos) -> None:
    with pytest.raises(ChaosError, match=r"mesh_exclusive|existing"):
        chaos.kill_istiod()
