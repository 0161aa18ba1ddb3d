"""The API machinery without HTTP: what the API server, the controllers and the node read and write through."""

from __future__ import annotations

from lab.kube.changes import Object
from lab.kube.registry.options import (
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
from lab.kube.registry.reading import Page
from lab.kube.registry.registry import Registry
from lab.kube.registry.table import Definition, PrinterColumn, ResourceTable, ServedVersion
from lab.kube.registry.watching import ADDED, BOOKMARK, DELETED, MODIFIED, Event, Watch, bookmark

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
