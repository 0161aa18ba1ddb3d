"""The API machinery without HTTP: what the API server, the controllers and the node read and write through."""

from __future__ import annotations

from mesh_lab.kube.changes import Object
from mesh_lab.kube.registry.custom.definitions import Definition, PrinterColumn, ServedVersion
from mesh_lab.kube.registry.options import (
    DEFAULT,
    DEFAULT_DELETE,
    SYSTEM,
    Admission,
    AdmissionRequest,
    DeleteOptions,
    FieldValidation,
    Open,
    Operation,
    Patch,
    PatchKind,
    Propagation,
    User,
    WriteOptions,
)
from mesh_lab.kube.registry.reading.reader import Page
from mesh_lab.kube.registry.reading.watching import ADDED, BOOKMARK, DELETED, MODIFIED, Event, Watch, bookmark
from mesh_lab.kube.registry.registry import Registry
from mesh_lab.kube.registry.table import ResourceTable

__all__ = [
    "ADDED",
    "BOOKMARK",
    "DEFAULT",
    "DEFAULT_DELETE",
    "DELETED",
    "MODIFIED",
    "SYSTEM",
    "Admission",
    "AdmissionRequest",
    "Definition",
    "DeleteOptions",
    "Event",
    "FieldValidation",
    "Object",
    "Open",
    "Operation",
    "Page",
    "Patch",
    "PatchKind",
    "PrinterColumn",
    "Propagation",
    "Registry",
    "ResourceTable",
    "ServedVersion",
    "User",
    "Watch",
    "WriteOptions",
    "bookmark",
]
