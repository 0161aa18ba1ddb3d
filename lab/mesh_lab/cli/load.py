"""`mesh-lab load`: the harness' load run, on this lab."""

from __future__ import annotations

import os
import sys

from mesh_lab.cli.access import require_up
from mesh_lab.settings import Lab


def load(lab: Lab, arguments: list[str]) -> None:
    """Become the load run."""
    if "--help" not in arguments and "-h" not in arguments:
        require_up(lab)
    environment = os.environ | {"KUBECONFIG": str(lab.kubeconfig)}
    if lab.settings.cluster == "existing":
        existing = lab.settings.existing
        environment["MESH_LAB_IMAGE_PREFIX"] = existing.image_prefix
        arguments = ["--target", f"http://istio-ingressgateway.{existing.namespace}", *arguments]
    os.execve(sys.executable, [sys.executable, "-P", "-m", "mesh_lab.harness.load", *arguments], environment)
