"""The test harness: a pytest plugin that drives a cluster through its Kubernetes API, assertions in a mesh's words."""
