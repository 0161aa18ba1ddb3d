"""`mesh-lab images` and `mesh-lab tools install`: what clusters other than the embedded one need."""

from __future__ import annotations

from mesh_lab.cli.console import progress, say
from mesh_lab.install.downloads import install_tools as download_tools
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


def install_tools(lab: Lab) -> None:
    """Install kind and istioctl, pinned, into .lab/bin, as far as they are not there yet.

    Raises:
        LabError: a download failed or does not match its checksum.
    """
    with progress("installing tools") as report:
        installed = download_tools(lab, report)
    for path in installed:
        say(str(path))
