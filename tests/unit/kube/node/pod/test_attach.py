"""Attaching to a container that runs: its output as it comes, its input, its terminal."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mesh_lab.kube.node.client import Process, Runtime
from mesh_lab.kube.node.files.logs import LogFile, StreamReader
from mesh_lab.kube.node.pod.console import BEHIND_LIMIT, Attachment, Console
from tests.unit.kube.node.conftest import Node, NodeError
from tests.unit.kube.node.pods import container, pod_object

Object = dict[str, Any]


def started(pod: Object) -> bool:
    return pod["status"].get("phase") != "Pending"


def finished(pod: Object) -> bool:
    return pod["status"].get("phase") in ("Succeeded", "Failed")


@pytest.fixture
def talker(node: Node, request: pytest.FixtureRequest) -> Callable[..., str]:
    """Runs a script in a container with these fields; the name of its pod."""

    def run(name: str, script: str, **fields: Any) -> str:
        request.addfinalizer(lambda: node.get(kind="Pod", name=name) and node.delete(name=name, grace=0))
        node.run(pod_object(name, container("main", "sh", "-c", script, **fields), restartPolicy="Never"), started)
        return name

    return run


def test_a_client_attaches_to_a_container_with_stdin(node: Node, talker: Callable[..., str]) -> None:
    name = talker("talks", "while read a; do echo got $a; done; echo end >&2", stdin=True, stdinOnce=True)
    assert node.attach(name=name, stdin="1\n2\n", size=None) == [0, "got 1\ngot 2\n", "end\n"]
    assert node.wait(name, finished)["status"]["phase"] == "Succeeded"
    assert sorted(node.output(name).splitlines()) == ["end", "got 1", "got 2"], "its log has it too"


def test_a_container_may_have_a_terminal(node: Node, talker: Callable[..., str]) -> None:
    name = talker("terminal", "read a; tty; stty size; echo got $a $TERM", stdin=True, stdinOnce=True, tty=True)
    _, text, errors = node.attach(name=name, stdin="hello\n", size=[100, 30])
    assert text.split() == ["hello", "/dev/pts/0", "30", "100", "got", "hello", "xterm"]
    assert errors == ""
    node.wait(name, finished)
    assert "got hello xterm" in node.output(name)


def test_a_container_with_a_terminal_needs_no_stdin(node: Node, talker: Callable[..., str]) -> None:
    name = talker("shown", "tty; echo shown", tty=True)
    node.wait(name, finished)
    assert node.output(name).split() == ["/dev/pts/0", "shown"]


def test_stdin_stays_open_for_the_next_client_unless_stdinonce(node: Node, talker: Callable[..., str]) -> None:
    stays = talker("stays", "while read a; do echo got $a; done", stdin=True)
    assert node.look_in(name=stays, stdin="1\n", until="got 1") == "got 1\n"
    assert node.look_in(name=stays, stdin="2\n", until="got 2") == "got 2\n"
    once = talker("once", "while read a; do echo got $a; done", stdin=True, stdinOnce=True)
    node.look_in(name=once, stdin="1\n", until="got 1")
    node.wait(once, finished)


def test_without_stdin_only_the_output_is_attached(node: Node, talker: Callable[..., str]) -> None:
    name = talker("mute", "while :; do cat; echo end; sleep 0.05; done")
    assert set(node.look_in(name=name, stdin="ignored", until="end").split()) == {"end"}


def test_an_ended_container_cannot_be_attached_to(node: Node, talker: Callable[..., str]) -> None:
    name = talker("over", "true")
    node.wait(name, finished)
    with pytest.raises(NodeError, match="is not running"):
        node.attach(name=name, stdin=None, size=None)


async def test_a_client_that_does_not_read_is_cut_off_and_the_log_goes_on(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    log = LogFile(tmp_path / "0.log", limit=4 * BEHIND_LIMIT)
    reader = StreamReader(reading, "stdout", log)
    console = Console(Process(Runtime(tmp_path, ()), 1, 1), (reader,), None, tty=False, once=False)
    idle, attentive = Attachment(console, stdin=False), Attachment(console, stdin=False)
    total = 2 * BEHIND_LIMIT

    async def listen() -> int:
        return sum([len(chunk) async for chunk in attentive.stdout()])

    def write() -> None:
        with os.fdopen(writing, "wb") as out:
            for _ in range(total // 1024):
                out.write(b"x" * 1023 + b"\n")

    heard, _ = await asyncio.gather(listen(), asyncio.to_thread(write))
    assert heard == total
    late = sum([len(chunk) async for chunk in idle.stdout()])
    assert late <= BEHIND_LIMIT + (1 << 20)
    assert (tmp_path / "0.log").stat().st_size > total
    console.close()
    log.close()
