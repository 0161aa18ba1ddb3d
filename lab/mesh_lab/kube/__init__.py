"""The embedded Kubernetes: an API server, controllers and a node whose pods are processes in namespaces."""

VERSION = "v1.36.0"
"""The Kubernetes version that API server and node report.

It is the oldest without a warning from kubectl 1.37, which warns of a skew beyond one minor. A newer one would be
further from clients that warn of versions above the newest that they know (kr8s 0.20: 1.35).
"""
MINOR_VERSION = VERSION.removeprefix("v").rpartition(".")[0]
"""Without the patch release, as the user agent of probes has it: `1.36`."""
