"""The embedded Kubernetes: an API server, controllers and a node whose pods are processes in namespaces."""
