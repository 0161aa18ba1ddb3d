"""What goes onto a cluster: the mesh, then the sample microservices. Of the cluster it knows the kubeconfig alone."""

from __future__ import annotations
