"""The images' names, and how they are built."""

from __future__ import annotations

import re
from pathlib import Path

from lab.clusters.kind.provider import Provider
from lab.harness.workloads import IMAGE
from lab.install.bringup import SAMPLES
from lab.install.images import IMAGES, SOURCE, Image, command_for, names
from lab.install.placing import read

MANIFESTS = SOURCE / "manifests"
DOCKER = Provider("docker", "/usr/bin/docker", {})


def test_there_is_an_image_for_all_that_the_manifests_and_the_tests_name() -> None:
    files = [*(MANIFESTS / name for name in SAMPLES), MANIFESTS / "apps/echo.yaml", MANIFESTS / "load/load.yaml"]
    named = {
        container["image"]
        for obj in read(files)
        if obj["kind"] == "Deployment"
        for container in obj["spec"]["template"]["spec"]["containers"]
    }
    assert named | {IMAGE} == set(names())


def test_each_is_a_stage_of_the_dockerfile_with_the_arguments_that_it_declares() -> None:
    text = (SOURCE / "images/Dockerfile").read_text()
    stages = {stage.partition("\n")[0].split()[-1]: stage for stage in text.split("\nFROM ")[1:]}
    for image in IMAGES:
        assert image.target in stages
        assert all(f"ARG {name}" in stages[image.target] for name, _ in image.arguments)
    assert all("USER 10001:10001" in stages[target] for target in ("apps", "locust"))
    assert re.search(r"^ARG BASE=\S+@sha256:[0-9a-f]{64}$", text, re.MULTILINE)


def test_what_the_dockerfile_copies_is_in_the_build_context() -> None:
    kept = {line[1:] for line in (SOURCE / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copies = re.findall(r"^COPY (?!--from)(\S+) ", (SOURCE / "images/Dockerfile").read_text(), re.MULTILINE)
    assert copies
    for source in copies:
        assert (SOURCE / source).exists()
        assert any(source == entry or source.startswith(f"{entry}/") for entry in kept)


def test_the_command_line_names_stage_tag_arguments_base_and_platform() -> None:
    image = Image("a/b", "bookinfo", (("SERVICE", "reviews"), ("VERSION", "v2")))
    command = command_for(DOCKER, image, base="debian:12", platform="linux/arm64")
    assert command[:2] == ["/usr/bin/docker", "build"]
    joined = " ".join(command)
    assert "--target bookinfo --tag a/b --platform linux/arm64" in joined
    assert "--build-arg SERVICE=reviews --build-arg VERSION=v2 --build-arg BASE=debian:12" in joined
    assert Path(command[-1]) == SOURCE
