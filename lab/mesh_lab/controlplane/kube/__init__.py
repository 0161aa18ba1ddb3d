"""The control plane's side of the Kubernetes API: the client, the kinds, what is followed, and Events."""
