"""Rules for clients and their requests that say more than an AuthorizationPolicy's can.

A part of the model in which all dialects meet, as `internal` is.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from mesh_lab.controlplane.model.security import AuthorizationPolicy, Rule


class HeaderTest(msgspec.Struct, frozen=True):
    """A condition on a request's header, or its opposite. A request without the header meets only that it be absent."""

    name: str
    kind: Literal["present", "exact", "prefix", "suffix", "contains", "regex"]
    value: str = ""
    ignore_case: bool = False
    invert: bool = False


class RequestTest(msgspec.Struct, frozen=True):
    """Requests that meet all of these conditions; those that are empty are none."""

    path_exact: str = ""
    path_prefix: str = ""
    path_regex: str = ""
    methods: tuple[str, ...] = ()
    headers: tuple[HeaderTest, ...] = ()


class Unless(msgspec.Struct, frozen=True):
    """Requests that meet one test, and none of some others."""

    test: RequestTest = RequestTest()
    unless: tuple[RequestTest, ...] = ()


class ClientRule(Rule, frozen=True):
    """A rule for some clients but not others, and for requests of any of some forms; for all, where there are none.

    Clients are `NAMESPACE/ACCOUNT`, `NAMESPACE/*`, `*`, or an empty name for those without an identity of the mesh.
    """

    clients: tuple[str, ...] = ()
    but_not: tuple[str, ...] = ()
    requests: tuple[Unless, ...] = ()


class WorkloadPolicy(AuthorizationPolicy, frozen=True):
    """A policy for all workloads that its selector selects, apart from those with one of some sets of labels."""

    apart_from: tuple[dict[str, str], ...] = ()
