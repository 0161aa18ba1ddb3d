"""The lab's own small Kubernetes, as processes in namespaces of this machine."""
