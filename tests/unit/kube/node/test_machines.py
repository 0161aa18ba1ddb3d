"""Virtual machines beside pods: their place in the network, their files, and their end."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.unit.kube.node.conftest import Node, NodeError, until
from tests.unit.kube.node.pods import IDLE, Object, container, pod_object

ADDRESS = "172.31.0.50"
OWN_RANGE = "172.31.0."
POD_RANGE = "10.244."


@pytest.fixture
def machine(node: Node) -> Iterator[Callable[..., str]]:
    """Starts a machine and removes it after the test, if that has not."""

    def start(name: str, *command: str, **order: Any) -> str:
        until(lambda: node.trouble() == "")
        return str(node.start_machine(name=name, order={"image": "busybox", "command": list(command), **order}))

    yield start
    for _, name, _ in node.running_machines():
        node.remove_machine(name=name)


def test_a_machine_is_what_its_order_says(node: Node, machine: Callable[..., str]) -> None:
    script = (
        "cat /etc/mine; hostname; echo $MACHINE_NAME $MACHINE_ADDRESS $OWN; ip -4 -br address show eth0; "
        "grep -w web /etc/hosts; exit 3"
    )
    order = {"address": ADDRESS, "files": {"/etc/mine": "text\n"}, "env": {"OWN": "value"}}
    assert machine("web", "sh", "-c", script, **order) == ADDRESS
    code, out, err = node.finish_machine(name="web")
    lines = out.splitlines()
    assert (code, err, lines[:3]) == (3, "", ["text", "web", f"web {ADDRESS} value"])
    assert f"{ADDRESS}/32" in lines[3]
    assert lines[4:] == [f"{ADDRESS}\tweb"]
    assert node.running_machines() == []


def test_pods_and_machines_reach_each_other(
    node: Node, machine: Callable[..., str], pod: Callable[..., Object], output: Callable[..., str]
) -> None:
    serve = [sys.executable, "-m", "http.server", "8000", "--directory", "/srv"]
    address = machine("web", *serve)
    assert address.startswith(OWN_RANGE)
    assert node.running_machines() == [["default", "web", address]]
    fetch = "import sys, urllib.request as r; print(r.urlopen(f'http://{sys.argv[1]}:8000/').status)"
    until(lambda: node.ended(command=f'{sys.executable} -c "{fetch}" {address} 2>/dev/null') == 0)
    assert output("client", f'{sys.executable} -c "{fetch}" {address}') == "200\n"
    served = pod(pod_object("server", container("main", *serve, readinessProbe={"httpGet": {"port": 8000}})))
    command = [sys.executable, "-c", fetch, served["status"]["podIP"]]
    assert node.in_machine(name="web", command=command)[:2] == [0, "200\n"]
    assert served["status"]["podIP"].startswith(POD_RANGE)


def test_a_machine_that_is_removed_leaves_nothing_behind(node: Node, machine: Callable[..., str]) -> None:
    address = machine("brief", "sh", "-c", f"(setsid sh -c 'exec sleep 1234.5') & {IDLE}")
    until(lambda: "1234.5" in node.shell(command="ps ax"))
    assert f"{address} " in node.shell(command="ip route")
    node.remove_machine(name="brief")
    assert f"{address} " not in node.shell(command="ip route")
    until(lambda: "1234.5" not in node.shell(command="ps ax"))
    assert node.running_machines() == []
    assert machine("brief", "true", address=address) == address, "name and address are free again"


@pytest.mark.parametrize(
    ("order", "words"),
    [
        ({"image": "nothing/like-it"}, 'no program for image "nothing/like-it"'),
        ({"address": "10.244.3.4"}, "of 10.244.0.0/16, which is not for machines"),
        ({"address": "10.96.0.10"}, "of 10.96.0.0/16, which is not for machines"),
        ({"address": "127.0.0.1"}, "of 127.0.0.0/8"),
        ({"address": "fd00::1"}, "'fd00::1' is not an IPv4 address"),
        ({"command": ["no-such-program"]}, "executable file not found"),
    ],
)
def test_an_order_that_cannot_be_carried_out_is_refused(node: Node, order: dict[str, Any], words: str) -> None:
    until(lambda: node.trouble() == "")
    with pytest.raises(NodeError, match=words):
        node.start_machine(name="bad", order={"image": "busybox", "command": ["true"], **order})
    assert node.running_machines() == []


def test_names_and_addresses_are_one_machines(node: Node, machine: Callable[..., str]) -> None:
    machine("one", "sleep", "1000", address=ADDRESS)
    with pytest.raises(NodeError, match="machine default/one runs already"):
        machine("one", "true")
    with pytest.raises(NodeError, match=f"{ADDRESS} is already that of default/one"):
        machine("two", "true", address=ADDRESS)
    with pytest.raises(NodeError, match="'Not_a_name' cannot be a machine's name"):
        machine("Not_a_name", "true")
    with pytest.raises(NodeError, match='machines "three" not found'):
        node.in_machine(name="three", command=["true"])
    with pytest.raises(NodeError, match="in the machine default/one: exec:"):
        node.in_machine(name="one", command=["nothing"])
