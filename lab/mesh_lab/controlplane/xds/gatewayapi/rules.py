"""What HTTPRoute and GRPCRoute share: where the requests of a rule go, and which of competing rules comes first."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from mesh_lab.controlplane.model.base import StringMatch
from mesh_lab.controlplane.model.gatewayapi.common import ValueMatch
from mesh_lab.controlplane.model.gatewayapi.httproute import HTTPBackendRef
from mesh_lab.controlplane.model.internal import Rule
from mesh_lab.controlplane.model.units import nanoseconds
from mesh_lab.controlplane.model.virtualservice import HTTPDirectResponse, HTTPRouteDestination
from mesh_lab.controlplane.validation.common import regex
from mesh_lab.controlplane.xds.gatewayapi import filters
from mesh_lab.controlplane.xds.gatewayapi.backends import NOWHERE, Backends
from mesh_lab.controlplane.xds.gatewayapi.filters import UnsupportedError
from mesh_lab.controlplane.xds.gatewayapi.sources import Verdict

INTERNAL_ERROR = 500
Rank = tuple[int, ...]


class Ranked(NamedTuple):
    """A rule with one match, and how specific that is: of two rules that match the one of the higher rank counts."""

    rank: Rank
    rule: Rule


class Read(NamedTuple):
    """What a route says: its rules, or why it is refused; and what of its references leads nowhere."""

    rules: tuple[Ranked, ...] = ()
    refused: Verdict | None = None
    problems: tuple[Verdict, ...] = ()


class Forward(NamedTuple):
    """The backends of a rule; without one of any weight, the answer that takes their place."""

    shares: list[HTTPRouteDestination]
    answer: HTTPDirectResponse | None
    problems: tuple[Verdict, ...]


def collected(rules: Iterable[Ranked], problems: list[Verdict]) -> Read:
    """What a route says, by its rules as they are read one after the other, each of which may add to `problems`."""
    try:
        found = tuple(rules)
    except UnsupportedError as error:
        return Read(refused=error.verdict)
    return Read(found, problems=tuple(dict.fromkeys(problems)))


def forward(where: str, refs: Iterable[HTTPBackendRef], backends: Backends) -> Forward:
    """Where requests go. The share of a backend that is none is answered with 500, as the specification has it.

    Raises:
        UnsupportedError: a backend has filters that are not carried out.
    """
    shares: list[HTTPRouteDestination] = []
    problems: list[Verdict] = []
    for index, ref in enumerate(refs):
        found = backends.find(ref)
        if found.problem is not None:
            problems.append(found.problem)
        headers = filters.of_backend(f"{where}.backendRefs[{index}]", ref.filters)
        if ref.weight:
            destination = found.destination or NOWHERE
            shares.append(HTTPRouteDestination(destination=destination, weight=ref.weight, headers=headers))
    lost = all(share.destination is NOWHERE for share in shares)
    answer = HTTPDirectResponse(status=INTERNAL_ERROR) if lost else None
    return Forward([] if lost else shares, answer, tuple(problems))


def values(where: str, matches: Iterable[ValueMatch], *, lower: bool = False) -> dict[str, StringMatch]:
    """Conditions on headers or query parameters; of several for one name the first counts.

    Raises:
        UnsupportedError: an expression is none of RE2.
    """
    found: dict[str, StringMatch] = {}
    for each in matches:
        name = each.name.lower() if lower else each.name
        if name not in found:
            found[name] = text_match(f"{where} {each.name}", each.type, each.value)
    return found


def text_match(where: str, kind: str, value: str) -> StringMatch:
    """A condition on a text: the text itself, or an expression for all of it.

    Raises:
        UnsupportedError: the expression is none of RE2, or the kind of condition unknown.
    """
    if kind == "Exact":
        return StringMatch(exact=value)
    if kind != "RegularExpression":
        raise UnsupportedError(f"{where}: the type {kind} is not carried out by the lab")
    if not value:
        raise UnsupportedError(f"{where}: an empty expression, which Envoy does not take")
    check_expression(where, value)
    return StringMatch(regex=value)


def check_expression(where: str, value: str) -> None:
    """Refuse what Envoy would reject.

    Raises:
        UnsupportedError: it is no expression of RE2.
    """
    for problem in regex(where, value):
        raise UnsupportedError(f"{problem.path}: {problem.message}")


def escaped(text: str) -> str:
    """A text as an expression for itself."""
    return re.escape(text)


def time_limit(where: str, text: str) -> str | None:
    """A limit; zero, or nothing, is none.

    Raises:
        UnsupportedError: it is no duration.
    """
    try:
        return text if text and nanoseconds(text) else None
    except ValueError as error:
        raise UnsupportedError(f"{where}: {error}") from None
