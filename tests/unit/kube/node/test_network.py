"""The network of pods that run for real."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from shlex import quote

import pytest

from tests.unit.kube.node.conftest import Node, NodeError, until
from tests.unit.kube.node.pods import IDLE, Object, container, pod_object, ready

SERVE = [sys.executable, "-m", "http.server", "8000", "--directory", "/srv"]
GET = b"GET / HTTP/1.0\r\n\r\n"


def test_pods_reach_each_other_and_the_node_reaches_them(
    node: Node, pod: Callable[..., Object], output: Callable[..., str]
) -> None:
    obj = pod_object("server", container("main", *SERVE, readinessProbe={"httpGet": {"port": 8000}}))
    address = pod(obj)["status"]["podIP"]
    fetch = f"import urllib.request as r; print(r.urlopen('http://{address}:8000/').status)"
    assert output("client", f'{quote(sys.executable)} -c "{fetch}"') == "200\n"
    assert node.request("server", 8000, GET).startswith(b"HTTP/1.0 200")
    with pytest.raises(NodeError, match="connection refused"):
        node.request("server", 8001, GET)


def test_a_removed_pod_leaves_no_interface_and_no_route(node: Node) -> None:
    address = node.run(pod_object("brief", container("main", "sh", "-c", IDLE)), ready)["status"]["podIP"]
    (device,) = re.findall(rf"^{address} dev (\S+)", node.shell(command="ip route"), re.MULTILINE)
    assert f" {device}@" in node.shell(command="ip link")
    node.delete(name="brief", grace=5)
    assert f"{address} " not in node.shell(command="ip route")
    until(lambda: f" {device}@" not in node.shell(command="ip link"))


def test_the_containers_of_a_pod_share_its_network(node: Node, pod: Callable[..., Object]) -> None:
    look = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8000/').status)"
    probe = {"exec": {"command": [sys.executable, "-c", look]}}
    other = container("other", "sh", "-c", IDLE, readinessProbe=probe)
    pod(pod_object("two", container("main", *SERVE), other))
    obj = node.get(kind="Pod", name="two")
    assert [s["ready"] for s in obj["status"]["containerStatuses"]] == [True, True]


def test_the_addresses_of_load_balancers_lead_from_a_pod_to_the_node(output: Callable[..., str]) -> None:
    look = "ip route show table local 127.80.0.0/16; cat /proc/sys/net/ipv4/conf/all/route_localnet"
    route, taken = output("balanced", look).splitlines()
    assert route.split()[:5] == ["127.80.0.0/16", "via", "169.254.1.1", "dev", "eth0"]
    assert taken == "1", "answers come from an address of the loopback network"


def test_a_pod_may_be_in_the_nodes_network(output: Callable[..., str]) -> None:
    spec = {"hostNetwork": True}
    assert " 10.244.0.1/32 " in output("hostnet", "ip -4 address show dev lo", spec=spec)


def test_the_networks_policies_know_a_pod_before_it_is_on_the_network(node: Node) -> None:
    obj = node.run(pod_object("known", container("main", "sh", "-c", IDLE)), ready)
    uid, address = obj["metadata"]["uid"], obj["status"]["podIP"]
    assert node.admissions(uid=uid) == [["admit", uid, address, "not routed"]]
    node.delete(name="known", grace=5)
    assert node.admissions(uid=uid)[1:] == [["release", uid]]


def test_a_pod_whose_policies_cannot_hold_waits_until_they_do(node: Node) -> None:
    node.close_gate(times=1)
    obj = node.run(pod_object("held", container("main", "sh", "-c", IDLE)), ready)
    words = [note[0] for note in node.admissions(uid=obj["metadata"]["uid"])]
    assert words == ["admit", "release", "admit"]
    events = {event["reason"]: event["message"] for event in node.events(name="held")}
    assert events["FailedCreatePodSandBox"] == "Failed to create pod sandbox: not now"
    node.delete(name="held", grace=5)


def test_pods_in_the_nodes_network_are_none_of_its_policies(node: Node) -> None:
    obj = node.run(pod_object("unknown", container("main", "sh", "-c", IDLE), hostNetwork=True), ready)
    node.delete(name="unknown", grace=5)
    assert node.admissions(uid=obj["metadata"]["uid"]) == []
