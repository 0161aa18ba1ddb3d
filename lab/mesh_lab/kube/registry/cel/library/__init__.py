"""Kubernetes' own functions of CEL: each module declares a table of `Overload`, of which environments are made.

https://kubernetes.io/docs/reference/using-api/cel/#kubernetes-cel-libraries
"""

from __future__ import annotations

from mesh_lab.kube.registry.cel.library import (
    addresses,
    authorizers,
    formats,
    lists,
    quantities,
    regexes,
    sets,
    urls,
    versions,
)
from mesh_lab.kube.registry.cel.library.overloads import Opaque, Overload

FUNCTIONS: tuple[Overload, ...] = (
    *lists.FUNCTIONS,
    *regexes.FUNCTIONS,
    *sets.FUNCTIONS,
    *urls.FUNCTIONS,
    *addresses.FUNCTIONS,
    *quantities.FUNCTIONS,
    *formats.FUNCTIONS,
    *versions.FUNCTIONS,
    *authorizers.FUNCTIONS,
)
"""All of them, without those that the CEL library brings along (standard functions, strings, math, optional types)."""

__all__ = ["FUNCTIONS", "Opaque", "Overload", "authorizers"]
