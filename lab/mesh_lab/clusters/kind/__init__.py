"""Kubernetes in containers of this machine, made by kind (https://kind.sigs.k8s.io)."""
