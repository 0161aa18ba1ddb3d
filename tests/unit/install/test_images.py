"""The images' names, and how they are built."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mesh_lab.clusters.kind.provider import Provider
from mesh_lab.harness.workloads import IMAGE
from mesh_lab.install.bringup import SAMPLES
from mesh_lab.install.images import IMAGES, Image, command_for, ensure, lay_out, names
from mesh_lab.install.placing import read
from mesh_lab.resources import IMAGES as RECIPES
from mesh_lab.resources import MANIFESTS
from mesh_lab.settings import Lab, Settings

DOCKER = Provider("docker", "/usr/bin/docker", {})


def test_there_is_an_image_for_all_that_the_manifests_and_the_tests_name() -> None:
    files = [*(MANIFESTS / name for name in SAMPLES), MANIFESTS / "apps/echo.yaml", MANIFESTS / "load/load.yaml"]
    named = {
        container["image"]
        for obj in read(files)
        if obj["kind"] == "Deployment"
        for container in obj["spec"]["template"]["spec"]["containers"]
    }
    with_registry = {image if image.startswith("docker.io/") else f"docker.io/{image}" for image in named | {IMAGE}}
    assert with_registry == set(names())


def _stages() -> dict[str, str]:
    text = (RECIPES / "Dockerfile").read_text()
    return {stage.partition("\n")[0].split()[-1]: stage for stage in text.split("\nFROM ")[1:]}


def test_each_is_a_stage_of_the_dockerfile() -> None:
    stages = _stages()
    assert all(image.target in stages for image in IMAGES)
    assert all("USER 10001:10001" in stages[target] for target in ("apps", "locust"))
    base = re.compile(r"^ARG BASE=\S+@sha256:[0-9a-f]{64}$", re.MULTILINE)
    assert base.search((RECIPES / "Dockerfile").read_text())


def test_each_of_bookinfo_is_the_service_and_the_version_of_its_name() -> None:
    stages = _stages()
    named = {image: re.search(r"bookinfo-(\w+)-(v\d):", image.name) for image in IMAGES}
    found = {image.target: match.groups() for image, match in named.items() if match}
    assert len(found) == 6
    for target, (service, version) in found.items():
        assert stages[target].startswith("bookinfo AS ")
        assert f"ENV BOOKINFO_SERVICE={service} SERVICE_VERSION={version}\n" in stages[target]


def test_what_sets_images_apart_does_not_come_from_build_arguments() -> None:
    """Podman 4.3 gave all of Bookinfo's names to one image, the first that was built."""
    for stage in _stages().values():
        declared = re.findall(r"^ARG (\w+)", stage, re.MULTILINE)
        assert not [name for name in declared if re.search(rf"^(ENV|LABEL) .*\$\{{?{name}\b", stage, re.MULTILINE)]


def test_what_the_dockerfile_copies_is_laid_out_and_nothing_else(tmp_path: Path) -> None:
    laid_out = lay_out(tmp_path / "context")
    copies = re.findall(r"^COPY (?!--from)(\S+) ", (laid_out / "Dockerfile").read_text(), re.MULTILINE)
    assert {path.name for path in laid_out.iterdir()} == {"Dockerfile", *(copy.rstrip("/") for copy in copies)}
    assert {path.name for path in (laid_out / "mesh_lab").iterdir()} == {"__init__.py", "apps"}
    assert not [*laid_out.rglob("__pycache__")]


def test_the_command_line_names_stage_tag_base_and_platform() -> None:
    command = command_for(
        DOCKER, Image("a/b", "reviews-v2"), Path("/context"), base="debian:12", platform="linux/arm64"
    )
    assert command[:2] == ["/usr/bin/docker", "build"]
    joined = " ".join(command)
    assert "--target reviews-v2 --tag a/b --platform linux/arm64 --build-arg BASE=debian:12" in joined
    assert (command[command.index("--file") + 1], command[-1]) == ("/context/Dockerfile", "/context")


@pytest.mark.parametrize(
    ("name", "info"),
    [("docker", '{"Architecture": "aarch64"}'), ("podman", '{"host": {"arch": "arm64"}}')],
)
def test_an_image_of_another_architecture_is_built_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, info: str
) -> None:
    program = tmp_path / name
    program.write_text(
        f"""#!/bin/sh
case "$1 $5" in
    info*) echo '{info}' ;;
    image*/locust) echo amd64 ;;
    image*-details-*) echo 'Error: No such image' >&2; exit 1 ;;
    image*) echo arm64 ;;
    build*) echo "$@" >>{tmp_path}/built ;;
esac
"""
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("KIND_EXPERIMENTAL_PROVIDER", raising=False)
    ensure(Lab(Settings(), tmp_path), lambda _: None)
    built = (tmp_path / "built").read_text().splitlines()
    assert [re.findall("--target (\\S+)", line) for line in built] == [["locust"], ["details-v1"]]
