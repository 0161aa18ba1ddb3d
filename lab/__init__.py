"""mesh-lab: a service mesh on a local Kubernetes, and the harness that proves what it does."""
