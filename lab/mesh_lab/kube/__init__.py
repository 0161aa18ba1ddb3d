"""The embedded Kubernetes: an API server, controllers and a node whose pods are processes in namespaces."""

VERSION = "v1.36.0"
"""The Kubernetes version that API server and node say they are.

The oldest of which kubectl 1.37 does not complain (it warns of a skew beyond one minor), and so the nearest to what
clients know that warn above the newest of theirs (kr8s 0.20: 1.35).
"""
MINOR_VERSION = VERSION.removeprefix("v").rpartition(".")[0]
"""Without the patch release, as the user agent of probes has it: `1.36`."""
