"""Consul's words for the mesh: the config entries that consul-k8s has as kinds of Kubernetes, read into the model.

A config entry is for the Service of its name in its own namespace, as with Consul's namespaces mirrored from those of
Kubernetes. https://developer.hashicorp.com/consul/docs/connect/config-entries
"""
