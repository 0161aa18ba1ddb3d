"""The lab's programs as container images, built from images/Dockerfile for clusters that run containers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import lab as package
from lab.clusters.base import Report
from lab.clusters.kind.provider import Provider, choose
from lab.errors import LabError
from lab.programs import Programs, stream
from lab.settings import Lab

SOURCE = Path(package.__file__).parent.parent
PLATFORMS = ("linux/amd64", "linux/arm64")
_BUILD_S = 1800.0
_BOOKINFO = "docker.io/istio/examples-bookinfo-{service}-{version}:1.20.3"


@dataclass(frozen=True)
class Image:
    """An image: its name, and the stage of the Dockerfile."""

    name: str
    target: str


def _bookinfo(service: str, version: str = "v1") -> Image:
    """Under the name that the published manifests give it, so that they apply as they are."""
    return Image(_BOOKINFO.format(service=service, version=version), f"{service}-{version}")


# With the registry, as a node looks them up: to Podman a name without one is localhost's, and no pod finds it.
IMAGES = (
    Image("docker.io/mesh-lab/apps", "apps"),
    Image("docker.io/mesh-lab/locust", "locust"),
    *(_bookinfo(service) for service in ("productpage", "details", "ratings")),
    *(_bookinfo("reviews", version) for version in ("v1", "v2", "v3")),
)


def names() -> list[str]:
    """What all of them are called."""
    return [image.name for image in IMAGES]


def ensure(lab: Lab, report: Report) -> None:
    """Build those that are not in the local store, or were built for another kind of machine. Raises `LabError`."""
    provider = _provider(lab)
    architecture = provider.info().architecture
    missing = [image for image in IMAGES if not provider.has_image(image.name, architecture)]
    build(lab, report, missing)


def build(
    lab: Lab, report: Report, wanted: Sequence[Image] = IMAGES, *, base: str = "", platform: str = "", network: str = ""
) -> None:
    """Build images. `base` replaces the Dockerfile's base image, `platform` this machine's. Raises `LabError`."""
    if platform and platform not in PLATFORMS:
        raise LabError(f"unknown platform {platform!r}", hint=f"Known: {', '.join(PLATFORMS)}.", exit_code=2)
    provider = _provider(lab)
    for image in wanted:
        report(f"building {image.name}")
        command = command_for(provider, image, base=base, platform=platform, network=network)
        stream(command, timeout=_BUILD_S, report=report, environ=provider.environ)


def command_for(
    provider: Provider, image: Image, *, base: str = "", platform: str = "", network: str = ""
) -> list[str]:
    """The command line that builds an image."""
    command = [provider.path, "build", "--file", str(SOURCE / "images" / "Dockerfile"), "--target", image.target]
    command += ["--tag", image.name]
    for option, value in (("--platform", platform), ("--network", network)):
        command += [option, value] if value else []
    command += ["--build-arg", f"BASE={base}"] if base else []
    return [*command, str(SOURCE)]


def _provider(lab: Lab) -> Provider:
    return choose(lab.settings.kind.provider, Programs(lab.tools_dir, os.environ, lab.tools_command))
