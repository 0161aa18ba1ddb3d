"""`mesh-lab vm`: what it says to those who ask wrongly, and what it prints of a machine's events."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh_lab.cli import machines
from tests.unit.cli.running import run


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "x", "--group", "g", "--files", "d"), "--group and --files exclude each other"),
        (("exec", "x"), "no command"),
        (("run", "x", "--wait", "0"), "'0' is not a number above 0"),
    ],
)
def test_what_is_asked_wrongly_is_told(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    outcome = run(tmp_path, "vm", *arguments)
    assert (outcome.code, words in outcome.err) == (2, True), outcome


@pytest.mark.parametrize("arguments", [("list",), ("run", "x"), ("exec", "x", "--", "true")])
def test_without_a_lab_there_are_no_machines(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    outcome = run(tmp_path, "vm", *arguments)
    assert outcome.code == 1
    assert "is not up" in outcome.err


def test_other_clusters_have_none(tmp_path: Path) -> None:
    outcome = run(tmp_path, "vm", "list", MESH_LAB_CLUSTER="kind")
    assert outcome.code == 2
    assert "a cluster of kind kind has no machines of the lab's" in outcome.err
    assert "setup/install/virtual-machine/" in outcome.err


def test_each_stream_goes_to_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    machines._relay([{"address": "172.31.0.2"}, {"out": "a\nb"}, {"err": "no\n"}, {"exit": 0}], "vm/web")
    told = capsys.readouterr()
    assert told.out == "a\nb"
    assert told.err == "machine vm/web has the address 172.31.0.2\nno\n"
    with pytest.raises(SystemExit) as ended:
        machines._relay([{"exit": 3}], "")
    assert ended.value.code == 3
