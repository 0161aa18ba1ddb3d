"""The holder of a port in use is named in one line."""

from __future__ import annotations

import errno
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


@pytest.mark.parametrize(
    ("listening_at", "kind"),
    [("127.80.9.9", ports.HERE), ("", ports.WHEREVER), ("::", ports.WHEREVER), ("::ffff:127.80.9.9", ports.HERE)],
)
def test_a_port_may_be_taken_at_one_address_or_at_all(listening_at: str, kind: str) -> None:
    with _listening(listening_at) as other:
        number = int(other.getsockname()[1])
        with pytest.raises(ports.PortTakenError) as taken:
            ports.bind("127.80.9.9", number)
        assert (taken.value.kind, f"(pid {os.getpid()})" in taken.value.holder) == (kind, True)
        with pytest.raises(ports.PortTakenError) as quickly:
            ports.bind("127.80.9.9", number, quickly=True)
        assert (quickly.value.kind, quickly.value.holder) == (kind, "")
        assert bool(ports.holder("127.80.9.10", number)) == (kind == ports.WHEREVER), "of that address alone"


def _listening(address: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    if family == socket.AF_INET6 and not Path("/proc/net/if_inet6").exists():
        pytest.skip("this machine has no IPv6")
    made = socket.socket(family)
    if family == socket.AF_INET6:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    made.bind((address, 0))
    made.listen()
    return made


@pytest.mark.parametrize(("number", "first"), [(443, 80), (80, 80), (22, 22)])
def test_a_port_for_root_alone_says_what_opens_it(number: int, first: int) -> None:
    refused = ports.taken("127.80.0.2", number, PermissionError(errno.EACCES, "Permission denied"))
    assert refused.kind == ports.RESERVED
    assert str(refused) == (
        f"port {number} is reserved for root: `sudo sysctl net.ipv4.ip_unprivileged_port_start={first}` "
        "opens it to every user"
    )
