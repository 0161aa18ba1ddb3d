"""`mesh-lab tools install`: kind and istioctl, pinned, into .lab/bin."""

from __future__ import annotations

from mesh_lab.cli.console import progress, say
from mesh_lab.install.downloads import install_tools
from mesh_lab.settings import Lab


def install(lab: Lab) -> None:
    """Install the tools that are not there yet.

    Raises:
        LabError: a download failed or does not match its checksum.
    """
    with progress("installing tools") as report:
        installed = install_tools(lab, report)
    for path in installed:
        say(str(path))
