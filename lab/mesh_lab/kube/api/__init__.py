"""The API server of the embedded Kubernetes."""

from __future__ import annotations

from mesh_lab.kube.api.app import build_app, serve
from mesh_lab.kube.api.auth.authentication import Authenticator
from mesh_lab.kube.api.context import ClusterInfo
from mesh_lab.kube.api.webhooks.admission import Webhooks

__all__ = ["Authenticator", "ClusterInfo", "Webhooks", "build_app", "serve"]
