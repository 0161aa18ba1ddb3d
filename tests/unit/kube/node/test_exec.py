"""Commands in a running container: streams, exit codes, terminals, and their end."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.unit.kube.node.conftest import Node, NodeError, until
from tests.unit.kube.node.pods import IDLE, Object, container, pod_object


def test_a_command_has_the_containers_files_its_streams_and_an_exit_code(
    node: Node, pod: Callable[..., Object]
) -> None:
    pod(
        pod_object(
            "shell", container("main", "sh", "-c", f"echo mine > /tmp/file; {IDLE}", env=[{"name": "A", "value": "1"}])
        )
    )
    assert node.sh("shell", "cat /tmp/file; echo $A; echo err >&2; exit 7") == (7, "mine\n1\n", "err\n")
    assert node.sh("shell", "cat", stdin="typed\n") == (0, "typed\n", "")
    assert node.sh("shell", "kill -9 $$")[0] == 137
    with pytest.raises(NodeError, match="executable file not found"):
        node.exec(name="shell", command=["no-such-program"], stdin=None, size=None)
    with pytest.raises(NodeError, match='"/usr/local/bin/no-such-program": no such file'):
        node.exec(name="shell", command=["/usr/local/bin/no-such-program"], stdin=None, size=None)
    code, out, _ = node.exec(name="shell", command=["/no/such/pilot-agent", "--help"], stdin=None, size=None)
    assert (code, out.split()[:2]) == (0, ["usage:", "pilot-agent"]), "a path of the published image"


def test_the_processes_of_a_command_end_when_its_client_disconnects(node: Node, pod: Callable[..., Object]) -> None:
    pod(pod_object("left", container("main", "sh", "-c", IDLE)))
    node.leave(name="left", command=["sh", "-c", "sleep 1234 & echo begun; wait"], until="begun")
    until(lambda: "1234" not in node.sh("left", "cat /proc/[0-9]*/cmdline")[1])


def test_a_terminal_has_a_size_and_takes_input(node: Node, pod: Callable[..., Object]) -> None:
    pod(pod_object("terminal", container("main", "sh", "-c", IDLE)))
    code, text, _ = node.sh("terminal", "read line; tty; stty size; echo got $line", stdin="hello\n", size=[100, 30])
    assert code == 0
    assert text.replace("\r", "").splitlines()[-3:] == ["/dev/pts/0", "30 100", "got hello"]


def test_a_command_ends_before_its_background_processes(node: Node, pod: Callable[..., Object]) -> None:
    pod(pod_object("forking", container("main", "sh", "-c", IDLE)))
    assert node.sh("forking", "sleep 1000 & echo started") == (0, "started\n", "")
