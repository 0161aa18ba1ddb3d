"""What goes onto a cluster: the mesh, then the sample microservices. Of the cluster it needs only the kubeconfig."""

from __future__ import annotations
