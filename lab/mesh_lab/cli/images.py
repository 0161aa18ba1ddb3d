"""`mesh-lab images`: build the container images."""

from __future__ import annotations

from mesh_lab.cli.console import progress, say
from mesh_lab.install.images import IMAGES
from mesh_lab.install.images import build as build_images
from mesh_lab.settings import Lab


def build(lab: Lab, *, base: str, platform: str, network: str) -> None:
    """Build all images.

    Raises:
        LabError: an image cannot be built.
    """
    with progress("building images") as report:
        build_images(lab, report, base=base, platform=platform, network=network)
    say(f"built {len(IMAGES)} images: {', '.join(image.name for image in IMAGES)}")
