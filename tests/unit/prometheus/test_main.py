"""Starting Prometheus: as it is where it has the discovery, with the lab's where it lacks that."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mesh_lab.prometheus.__main__ import config_option, lacks_discovery

STUB = """#!/bin/sh
for option in "$@"; do case $option in --config.file=*) file=${option#*=};; esac; done
if grep -q kubernetes_sd_configs "$file"; then echo "%s" >&2; exit 2; fi
echo "$@"
cat "$file"
exit 3
"""


def program(tmp_path: Path, said: str) -> str:
    """What stands for a Prometheus: it refuses a discovery with these words, or tells its options and configuration."""
    file = tmp_path / "stub"
    file.write_text(STUB % said)
    file.chmod(0o755)
    return str(file)


def run(tmp_path: Path, binary: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mesh_lab.prometheus", binary, *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path, check=False)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--web.enable-lifecycle", "--config.file=a.yml"], (1, 2, "a.yml")),
        (["--config.file", "a.yml", "--x"], (0, 2, "a.yml")),
        (["--config.file"], None),
        (["--version"], None),
    ],
)
def test_the_configuration_is_found_among_the_options(
    options: list[str], expected: tuple[int, int, str] | None
) -> None:
    assert config_option(options) == expected


def test_prometheus_is_asked_for_its_discovery(tmp_path: Path) -> None:
    lacking = "yaml: unmarshal errors: line 1: field kubernetes_sd_configs not found in type config.ScrapeConfig"
    assert lacks_discovery(program(tmp_path, lacking))
    assert not lacks_discovery(program(tmp_path, "unknown Kubernetes SD role none"))
    assert not lacks_discovery(str(tmp_path / "missing"))


def test_one_with_the_discovery_is_started_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text("global: {}\n")
    ended = run(tmp_path, program(tmp_path, "unknown Kubernetes SD role"), "--config.file=a.yml", "--x")
    assert (ended.returncode, ended.stdout) == (3, "--config.file=a.yml --x\nglobal: {}\n")


def test_one_without_it_gets_a_configuration_of_its_own_and_its_exit_code_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MESH_LAB_SERVICE_ACCOUNT", str(account(tmp_path)))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "1")
    (tmp_path / "a.yml").write_text("scrape_configs: [{job_name: a, kubernetes_sd_configs: [{role: pod}]}]\n")
    binary = program(tmp_path, "field kubernetes_sd_configs not found")
    ended = run(tmp_path, binary, "--first", "--config.file", "a.yml", "--last")
    assert ended.returncode == 3, ended.stderr
    options, text = ended.stdout.split("\n", 1)
    assert options.startswith("--first --config.file=")
    assert options.endswith(f"{os.sep}a.yml --last")
    assert "file_sd_configs" in text
    assert "kubernetes_sd_configs" not in text


def test_a_configuration_that_is_not_understood_is_one_that_prometheus_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MESH_LAB_SERVICE_ACCOUNT", str(account(tmp_path)))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "1")
    binary = program(tmp_path, "field kubernetes_sd_configs not found")
    ended = run(tmp_path, binary, "--config.file=missing.yml")
    assert "missing.yml: [Errno 2] No such file" in ended.stderr
    text = ended.stdout.split("\n", 1)[1]
    assert text.startswith('"')
    assert text.endswith(": refused\n")


def account(tmp_path: Path) -> Path:
    """A service account's files, as a pod has them."""
    made = tmp_path / "account"
    made.mkdir()
    for name, text in (("namespace", "default"), ("token", "t"), ("ca.crt", "")):
        (made / name).write_text(text)
    return made
