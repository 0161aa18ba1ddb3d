"""The embedded mesh control plane: Istio's resources in, Envoy configuration out.

It knows Kubernetes by its API only, as any pod does.
"""
