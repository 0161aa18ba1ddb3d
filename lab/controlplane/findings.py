"""What is wrong, or doubtful, about a resource: the form in which it is reported."""

from __future__ import annotations

from typing import Literal, NamedTuple

from lab.controlplane.kubernetes import Origin

Severity = Literal["error", "warning", "info"]


class Finding(NamedTuple):
    """One remark on one field. `code` is that of `istioctl analyze` where Istio has one."""

    severity: Severity
    code: str
    message: str
    path: str
    origin: Origin
