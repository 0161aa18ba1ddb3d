"""A target that is not there."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from mesh_lab.errors import LabError
from mesh_lab.load.probing import probe


class Here:
    """A worker that is this machine: the command runs as it would run there."""

    def kubectl(self, *arguments: str) -> str:
        assert arguments[:8] == ("exec", "-n", "ns", "worker-0", "-c", "locust", "--", "python3")
        return subprocess.run([sys.executable, *arguments[8:]], capture_output=True, text=True, check=True).stdout


API: Any = Here()


@pytest.fixture
def port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize("target", ["http://127.0.0.1:{}/x", "tcp://127.0.0.1:{}", "grpc://127.0.0.1:{}/a.B/C"])
def test_a_target_that_listens_passes(port: int, target: str) -> None:
    probe(API, "ns", "worker-0", target.format(port))


def test_a_name_that_nobody_knows_is_wrong_usage() -> None:
    with pytest.raises(LabError, match=r"no shop\.invalid is known in the cluster") as refused:
        probe(API, "ns", "worker-0", "http://shop.invalid/cart")
    assert refused.value.exit_code == 2


def test_a_port_at_which_nothing_listens_is_wrong_usage(port: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        number = closed.getsockname()[1]
    with pytest.raises(LabError, match=f"has nothing at port {number}") as refused:
        probe(API, "ns", "worker-0", f"tcp://127.0.0.1:{number}")
    assert refused.value.exit_code == 2
