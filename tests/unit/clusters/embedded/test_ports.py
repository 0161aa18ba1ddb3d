"""The holder of a port in use is named in one line."""

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


def test_the_holder_of_a_port_is_one_line_even_with_a_script_as_argument() -> None:
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


def test_the_user_is_named_when_the_process_may_not_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "_descriptors", lambda _pid: [])
    with socket.create_server(("127.0.0.1", 0)) as listening:
        text = ports.holder("127.0.0.1", listening.getsockname()[1])
    assert text == f"a process of {ports.user(os.geteuid())}"
    assert ports.user(0) == "root (uid 0)"
    assert ports.user(4294967000) == "the user with uid 4294967000"
