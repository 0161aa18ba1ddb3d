"""Columns and cells of `kubectl get`. The tables that the API server answers with: `mesh_lab.kube.api.tables`."""
