"""Who has a port, in one line that a person can act on."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from mesh_lab.clusters.embedded import ports

LISTEN = """
import socket
with socket.create_server(("127.0.0.1", 0)) as listening:
    print(listening.getsockname()[1], flush=True)
    input()
"""


def test_a_program_with_a_script_for_an_argument_is_told_in_one_line() -> None:
    command = [sys.executable, "-c", LISTEN]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        port = int(other.stdout.readline())
        with pytest.raises(ports.PortTakenError) as taken:
            ports.bind("127.0.0.1", port)
        other.communicate("\n")
    message = str(taken.value)
    assert "\n" not in message
    assert f"{Path(sys.executable).name} -c import socket with" in message
    assert f"(pid {other.pid}) listens on it" in message


def test_whose_processes_one_may_not_look_into_is_told_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "_descriptors", lambda _pid: [])
    with socket.create_server(("127.0.0.1", 0)) as listening:
        told = ports.holder(listening.getsockname()[1])
    assert told == f"a process of {ports.user(os.geteuid())}"
    assert ports.user(0) == "root (uid 0)"
    assert ports.user(4294967000) == "the user with uid 4294967000"
