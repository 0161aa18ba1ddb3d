"""What `mesh-lab doctor` makes of a kernel that refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mesh_lab.cli import doctor
from mesh_lab.settings import Lab, Settings


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("unshare: newuidmap: write to uid_map failed: Operation not permitted", "must be setuid root"),
        ("unshare: unshare failed: No space left on device", "The kernel refused"),
    ],
)
def test_a_refused_trial_comes_with_what_it_was_and_what_to_do(
    monkeypatch: pytest.MonkeyPatch, said: str, remedy: str
) -> None:
    refuse = ["sh", "-c", f"echo '{said}' >&2; exit 1"]
    monkeypatch.setattr("mesh_lab.cli.doctor.namespaces.isolate", lambda _command, **_: refuse)
    (finding,) = doctor._trial()
    assert finding.detail == said
    assert remedy in finding.remedy


def test_what_runs_containers_is_named_whatever_the_machine_lacks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    info = json.dumps({"host": {"cpus": 4, "memTotal": 3 * 2**30, "cgroupVersion": "v2"}})
    podman = tmp_path / "podman"
    podman.write_text(f"#!/bin/sh\necho '{info}'\n")
    podman.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("KIND_EXPERIMENTAL_PROVIDER", raising=False)
    first, *rest = doctor._containers(Lab(Settings(), tmp_path))
    assert (first.subject, first.detail, first.remedy) == ("containers", "podman answers", "")
    assert "3072 MB of memory for containers" in rest[0].detail


@pytest.mark.parametrize(
    ("kind", "istioctl", "missing"),
    [
        ("kind v0.31.0 go1.25.5 linux/amd64", "client version: 1.30.3", []),
        ("kind v0.11.1 go1.16.4 linux/amd64", "client version: 1.30.3", ["0.11.1", "0.27.0 or later"]),
        ("kind v0.31.0 go1.25.5 linux/amd64", "1.20.0", ["1.20.0", "1.28 or later"]),
        ("devel", "unknown", []),
    ],
)
def test_programs_that_are_too_old_are_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str, istioctl: str, missing: list[str]
) -> None:
    for name, said in (("kind", kind), ("istioctl", istioctl)):
        (tmp_path / name).write_text(f"#!/bin/sh\necho '{said}'\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    faults = [finding for finding in doctor._container_tools(Lab(Settings(), tmp_path, "x")) if finding.remedy]
    assert len(faults) == bool(missing)
    for fault in faults:
        assert all(word in fault.detail for word in missing)
        assert "`mesh-lab --dir x tools install`" in fault.remedy


FINDINGS = [
    doctor.Finding("python", "3.11.2"),
    doctor.Finding("machine", "2 cores", "4 are better.", advice=True),
    doctor.Finding("kernel", "refused", "Do something."),
]


@pytest.mark.parametrize(
    ("findings", "well", "states"),
    [(FINDINGS[:2], True, ["ok", "warning"]), (FINDINGS, False, ["ok", "warning", "missing"])],
)
def test_programs_read_the_outcome_as_json(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    findings: list[doctor.Finding],
    well: bool,
    states: list[str],
) -> None:
    monkeypatch.setitem(doctor.CHECKS, "embedded", (lambda _lab: findings,))
    code = 0
    try:
        doctor.doctor(Lab(Settings(), tmp_path), "json")
    except SystemExit as ended:
        code = int(str(ended.code))
    printed = capsys.readouterr()
    report = json.loads(printed.out)
    assert (code, printed.err) == (0 if well else 1, "")
    assert (report["well"], report["missing"], report["warnings"]) == (well, 0 if well else 1, 1)
    assert [check["state"] for check in report["checks"]] == states
    assert report["checks"][1] == {
        "subject": "machine",
        "state": "warning",
        "detail": "2 cores",
        "remedy": "4 are better.",
    }
