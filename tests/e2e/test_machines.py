"""Virtual machines: workloads of the mesh that are no pods, registered by hand and by themselves."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from mesh_lab.client import machines
from mesh_lab.testing import Mesh, Object, Reference, TrafficClient, assert_all, assert_identity, eventually

from .conftest import ROOT

# Only the lab's own node has machines; elsewhere one connects real ones.
pytestmark = pytest.mark.mesh_clusters("embedded")

ADDRESS = "172.31.0.77"
ECHO = ("mesh-lab-app", "echo", "--port", "8080")
URL = "http://machines/"
NETWORKING = "networking.istio.io/v1"
LIMIT = 60.0


def resource(kind: str, name: str, spec: Any, api_version: str = NETWORKING) -> Object:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, "spec": spec}


def entry(account: str = "machine") -> Object:
    spec = {"address": ADDRESS, "labels": {"app": "machines"}, "serviceAccount": account, "ports": {"http": 8080}}
    return resource("WorkloadEntry", "by-hand", spec)


def group() -> Object:
    template = {"serviceAccount": "machine", "ports": {"http": 8080}}
    return resource("WorkloadGroup", "group", {"metadata": {"labels": {"app": "machines"}}, "template": template})


@pytest.fixture(scope="module")
def shop(mesh_shared: Mesh) -> Mesh:
    mesh_shared.deploy_echo("echo")
    mesh_shared.deploy_client()
    accounts = [resource("ServiceAccount", name, None, "v1") for name in ("machine", "other")]
    ports = [{"name": "http", "port": 80, "targetPort": 9999}]
    service = resource("Service", "machines", {"selector": {"app": "machines"}, "ports": ports}, "v1")
    mesh_shared.apply([*({key: value for key, value in each.items() if value} for each in accounts), service])
    mesh_shared.ready()
    mesh_shared.wait_endpoints("echo", 1)
    return mesh_shared


@contextmanager
def running(shop: Mesh, kind: str, obj: str, name: str) -> Iterator[subprocess.Popen[str]]:
    """A machine that runs an echo server, once its sidecar is ready."""
    words = [str(shop.api.kubeconfig), kind, shop.namespace, obj, name, "--", *ECHO]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.e2e.machine", *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
    eventually(lambda: name not in names(shop), timeout=LIMIT, why="the machine goes with its caller")


def names(shop: Mesh) -> list[str]:
    return [name for namespace, name, _ in machines.running(shop.api) if namespace == shop.namespace]


def serving(shop: Mesh) -> None:
    """Wait until the service answers: until then it has no endpoint, or nothing listens there."""
    client = shop.client()
    eventually(lambda: client.send(URL, 1)[0].status == 200, timeout=LIMIT, why="the machine serves")


def ask(shop: Mesh, name: str, url: str) -> tuple[str, int]:
    """What a machine gets for a request, and the exit code of the asking."""
    script = f"import sys, urllib.request as r; sys.stdout.write(r.urlopen({url!r}, timeout=10).read().decode())"
    events = list(machines.execute(shop.api, shop.namespace, name, [sys.executable, "-c", script]))
    return "".join(event.get("out", "") for event in events), events[-1]["exit"]


def identity(shop: Mesh, account: str) -> str:
    return f"spiffe://cluster.local/ns/{shop.namespace}/sa/{account}"


def test_pods_and_a_machine_call_each_other_with_their_identities(shop: Mesh, client: TrafficClient) -> None:
    with shop.applied(entry()), running(shop, "WorkloadEntry", "by-hand", "by-hand"):
        serving(shop)
        results = client.send(URL, 10, show_body=True)
        assert_all(results)
        assert_identity(results[0], identity(shop, "client"))
        body, code = ask(shop, "by-hand", "http://echo/")
        assert code == 0
        assert identity(shop, "machine") in body
        assert machines.running(shop.api).count((shop.namespace, "by-hand", ADDRESS)) == 1
    assert shop.api.find(Reference(NETWORKING, "WorkloadEntry", "by-hand", shop.namespace)) is None


def test_policies_hold_for_the_machine_and_for_its_principal(shop: Mesh, client: TrafficClient) -> None:
    def policy(name: str, app: str, action: str, account: str) -> Object:
        rule = {"from": [{"source": {"principals": [identity(shop, account).removeprefix("spiffe://")]}}]}
        spec = {"selector": {"matchLabels": {"app": app}}, "action": action, "rules": [rule]}
        return resource("AuthorizationPolicy", name, spec, "security.istio.io/v1")

    strict = resource("PeerAuthentication", "strict", {"mtls": {"mode": "STRICT"}}, "security.istio.io/v1")
    with shop.applied([entry(), strict]), running(shop, "WorkloadEntry", "by-hand", "by-hand"):
        serving(shop)
        assert ask(shop, "by-hand", "http://echo/")[1] == 0
        with shop.applied(policy("echo", "echo", "DENY", "machine")):
            assert ask(shop, "by-hand", "http://echo/")[1] == 1
            assert_all(client.send("http://echo/", 5))
        with shop.applied(policy("machine", "machines", "DENY", "client")):
            assert_all(client.send(URL, 5), status=403)


def test_a_machine_registers_with_its_group_and_goes_with_its_caller(shop: Mesh, client: TrafficClient) -> None:
    def entries() -> list[Object]:
        return [
            each
            for each in shop.api.list_all(NETWORKING, "WorkloadEntry", shop.namespace)
            if each["metadata"]["name"].startswith("group-")
        ]

    with shop.applied(group()):
        with running(shop, "WorkloadGroup", "group", "by-itself"):
            serving(shop)
            assert_all(client.send(URL, 10))
            (made,) = entries()
            annotations, owner = made["metadata"]["annotations"], made["metadata"]["ownerReferences"][0]
            assert annotations["istio.io/autoRegistrationGroup"] == "group"
            assert "istio.io/connectedAt" in annotations
            assert (owner["kind"], owner["name"]) == ("WorkloadGroup", "group")
            assert made["metadata"]["name"] == f"group-{made['spec']['address']}"
        ended = time.monotonic()
        eventually(lambda: not entries(), timeout=LIMIT, why="an entry goes when its machine stays away")
        assert time.monotonic() - ended > 5, "it has some time to come back"


def test_a_machine_gets_requests_while_it_says_that_it_is_healthy(shop: Mesh, client: TrafficClient) -> None:
    probed = group()
    probed["spec"]["probe"] = {
        "periodSeconds": 1,
        "failureThreshold": 1,
        "exec": {"command": ["test", "-e", "/tmp/ok"]},
    }

    def condition() -> str:
        entries = shop.api.list_all(NETWORKING, "WorkloadEntry", shop.namespace)
        conditions = [each for entry in entries for each in (entry.get("status") or {}).get("conditions") or ()]
        return next((str(each["status"]) for each in conditions if each["type"] == "Healthy"), "")

    def run(*command: str) -> None:
        assert list(machines.execute(shop.api, shop.namespace, "probed", command))[-1] == {"exit": 0}

    with shop.applied(probed), running(shop, "WorkloadGroup", "group", "probed"):
        eventually(lambda: condition() == "False", timeout=LIMIT, why="it has not said yet that it is healthy")
        assert_all(client.send(URL, 5), status=503)
        run("touch", "/tmp/ok")
        serving(shop)
        assert condition() == "True"
        run("rm", "/tmp/ok")
        eventually(lambda: client.send(URL, 1)[0].status == 503, timeout=LIMIT, why="it is healthy no more")


def test_a_machine_whose_token_is_of_another_account_is_refused_with_the_reason(shop: Mesh) -> None:
    with shop.applied([entry()]), running(shop, "WorkloadEntry", "by-hand", "by-hand") as process:
        serving(shop)
        with shop.applied(entry("other")):
            assert process.stdout is not None
            words = (
                f"WorkloadEntry {shop.namespace}/by-hand is of service account other, and the token is that of machine"
            )
            assert any(words in line for line in process.stdout), "the caller is told why"
