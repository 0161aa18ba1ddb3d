"""Field managers and the fields that they own: what server-side apply rests on.

`fieldsets` are sets of fields and their form in `metadata.managedFields`; `values` is what the schema says of merging
and comparing; `managers` are the owners; `applying` decides what an apply does to an object and them, `tracking`
what other writes do; `clientside` knows kubectl's older way. All of it is pure: the registry calls it within a write.

https://kubernetes.io/docs/reference/using-api/server-side-apply/
"""

from mesh_lab.kube.registry.ownership.applying import Conflict, ConflictError, apply, first_owner, update
from mesh_lab.kube.registry.ownership.managers import APPLY, UPDATE, Managed, Manager, decode, encode

__all__ = [
    "APPLY",
    "UPDATE",
    "Conflict",
    "ConflictError",
    "Managed",
    "Manager",
    "apply",
    "decode",
    "encode",
    "first_owner",
    "update",
]
