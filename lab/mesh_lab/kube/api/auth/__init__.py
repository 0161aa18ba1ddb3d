"""Authentication and authorization: RBAC, and the part of it that the embedded cluster enforces."""

from __future__ import annotations

from mesh_lab.kube.api.auth.attributes import Access, Action, PathAccess
from mesh_lab.kube.api.auth.authorizer import Authorizer, Decision

__all__ = ["Access", "Action", "Authorizer", "Decision", "PathAccess"]
