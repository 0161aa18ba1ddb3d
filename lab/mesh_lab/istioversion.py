"""Which Istio the lab's control plane is like: what it tells istioctl, which compares it with its own version."""

from __future__ import annotations

from mesh_lab import __version__

ISTIO_VERSION = "1.30.3"
STATEMENT = f"{ISTIO_VERSION}-mesh_lab_{__version__}-Clean"
"""The answer of `/version`, in Istio's form: version, revision of the source, state of its tree."""


def build_info() -> dict[str, str]:
    """The version as Istio's programs state it in JSON."""
    return {
        "version": ISTIO_VERSION,
        "revision": f"mesh_lab_{__version__}",
        "golang_version": "",
        "status": "Clean",
        "tag": ISTIO_VERSION,
    }
