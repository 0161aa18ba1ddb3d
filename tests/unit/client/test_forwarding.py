"""A forwarded port: found in whatever kubectl says, kept open however much it says, gone with whoever asked for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mesh_lab.client import forwarding
from mesh_lab.client.forwarding import ForwardError, forwarded
from tests.unit.standins import StandIns, answer
from tests.unit.test_programs import lives, until

FORWARDING = "Forwarding from 127.0.0.1:40123 -> 15014\nForwarding from [::1]:40123 -> 15014\n"
WARNING = "W1129 13:00:00.000000 1 gcp.go:119] WARNING: the gcp auth plugin is deprecated\n"


@pytest.fixture
def tools(tmp_path: Path) -> StandIns:
    return StandIns(tmp_path / "bin")


def kubectl(tools: StandIns) -> list[str]:
    return [str(tools.directory / "kubectl"), "--kubeconfig", "k"]


def test_the_port_is_found_behind_a_warning_of_the_same_breath(tools: StandIns) -> None:
    tools.add("kubectl", answer(out=WARNING + FORWARDING, hangs=True))
    with forwarded(kubectl(tools), "istio-system", "istiod-1", 15014) as port:
        assert port == 40123
    asked = ["port-forward", "--namespace", "istio-system", "pod/istiod-1", ":15014"]
    assert tools.calls() == [["kubectl", "--kubeconfig", "k", *asked]]


def test_kubectl_is_listened_to_as_long_as_it_forwards(tools: StandIns) -> None:
    """It says a line for each connection; a pipe that is full would stop it."""
    lines = "Handling connection for 40123\n" * 10_000
    tools.add("kubectl", answer(out=FORWARDING + lines, writes={"said": "all"}, hangs=True))
    with forwarded(kubectl(tools), "istio-system", "istiod-1", 15014):
        assert until((tools.directory / "said").exists)


def test_it_ends_with_the_block(tools: StandIns) -> None:
    tools.add("kubectl", answer(out=FORWARDING, pid="pid", hangs=True))
    with forwarded(kubectl(tools), "istio-system", "istiod-1", 15014):
        pid = int((tools.directory / "pid").read_text())
        assert lives(pid)
    assert not lives(pid)


def test_it_does_not_outlive_a_lab_that_is_killed(tools: StandIns) -> None:
    tools.add("kubectl", answer(out=FORWARDING, pid="pid", hangs=True))
    code = f"""
from mesh_lab.client.forwarding import forwarded
with forwarded({kubectl(tools)!r}, "istio-system", "istiod-1", 15014):
    print("up", flush=True)
    input()
"""
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=Path(forwarding.__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as lab:
        assert lab.stdout is not None
        assert lab.stdout.readline() == "up\n"
        pid = int((tools.directory / "pid").read_text())
        assert lives(pid)
        lab.kill()
    assert until(lambda: not lives(pid))


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("error: unable to forward port because pod is not running.\n", "because pod is not running"),
        ("", "kubectl ended without a word"),
    ],
)
def test_a_kubectl_that_fails_is_quoted(tools: StandIns, said: str, message: str) -> None:
    tools.add("kubectl", answer(err=[said], code=1))
    with (
        pytest.raises(ForwardError, match=message),
        forwarded(kubectl(tools), "istio-system", "istiod-1", 15014),
    ):
        pytest.fail("there is no port")


def test_a_kubectl_that_hangs_in_the_middle_of_a_line_is_ended(
    tools: StandIns, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forwarding, "_START_SECONDS", 1.0)
    tools.add("kubectl", answer(out="Forwarding from 127.0", pid="pid", hangs=True))
    with (
        pytest.raises(ForwardError, match=r"Forwarding from 127\.0 no port within 1 s"),
        forwarded(kubectl(tools), "istio-system", "istiod-1", 15014),
    ):
        pytest.fail("there is no port")
    assert not lives(int((tools.directory / "pid").read_text()))


def test_a_kubectl_that_is_not_there_is_reported(tmp_path: Path) -> None:
    with (
        pytest.raises(ForwardError, match=r"cannot run .*No such file"),
        forwarded([str(tmp_path / "kubectl")], "istio-system", "istiod-1", 15014),
    ):
        pytest.fail("there is no port")
