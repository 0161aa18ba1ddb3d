"""mesh-lab: a service mesh on a local Kubernetes, and the harness that proves what it does."""

__version__ = "0.2.0"
