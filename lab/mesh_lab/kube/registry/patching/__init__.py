"""Patches: how each form of the Kubernetes API changes an object."""
