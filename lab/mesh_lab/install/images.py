"""The lab's programs as container images, built from images/Dockerfile for clusters that run containers."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import mesh_lab as package
from mesh_lab.clusters.base import Report
from mesh_lab.clusters.kind.provider import Provider, choose
from mesh_lab.errors import LabError
from mesh_lab.programs import Programs, stream
from mesh_lab.resources import IMAGES as RECIPES
from mesh_lab.resources import LOCK
from mesh_lab.settings import Lab

PLATFORMS = ("linux/amd64", "linux/arm64")
_BUILD_SECONDS = 1800.0
_PROGRAMS = ("apps",)
"""What of the package runs in images."""
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
    """The names of all images."""
    return [image.name for image in IMAGES]


def ensure(lab: Lab, report: Report) -> None:
    """Build the images that are not in the local store, or were built for another kind of machine.

    Raises:
        LabError: there is neither Docker nor Podman, or an image cannot be built.
    """
    provider = _provider(lab)
    architecture = provider.info().architecture
    missing = [image for image in IMAGES if not provider.has_image(image.name, architecture)]
    build(lab, report, missing)


def build(
    lab: Lab, report: Report, wanted: Sequence[Image] = IMAGES, *, base: str = "", platform: str = "", network: str = ""
) -> None:
    """Build images. `base` replaces the Dockerfile's base image, `platform` this machine's.

    Raises:
        LabError: there is neither Docker nor Podman, or an image cannot be built.
    """
    if platform and platform not in PLATFORMS:
        raise LabError(f"unknown platform {platform!r}", hint=f"Known: {', '.join(PLATFORMS)}.", exit_code=2)
    provider = _provider(lab)
    with tempfile.TemporaryDirectory(prefix="mesh-lab-images-") as directory:
        context = lay_out(Path(directory))
        for image in wanted:
            report(f"building {image.name}")
            command = command_for(provider, image, context, base=base, platform=platform, network=network)
            stream(command, timeout=_BUILD_SECONDS, report=report, environ=provider.environ)


def lay_out(directory: Path) -> Path:
    """Put what images are built from into a directory, whether the package is a checkout or installed; returns it."""
    shutil.copytree(RECIPES, directory, dirs_exist_ok=True)
    shutil.copy(LOCK, directory)
    source, copied = Path(package.__file__).parent, directory / package.__name__
    for name in _PROGRAMS:
        shutil.copytree(source / name, copied / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(source / "__init__.py", copied)
    return directory


def command_for(
    provider: Provider, image: Image, context: Path, *, base: str = "", platform: str = "", network: str = ""
) -> list[str]:
    """The command line that builds an image in a directory as `lay_out` makes it."""
    command = [provider.path, "build", "--file", str(context / "Dockerfile"), "--target", image.target]
    command += ["--tag", image.name]
    for option, value in (("--platform", platform), ("--network", network)):
        command += [option, value] if value else []
    command += ["--build-arg", f"BASE={base}"] if base else []
    return [*command, str(context)]


def _provider(lab: Lab) -> Provider:
    return choose(lab.settings.kind.provider, Programs(lab.tools_dir, os.environ, lab.tools_command))
