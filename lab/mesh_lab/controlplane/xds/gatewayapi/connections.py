"""TLSRoute and TCPRoute: where connections go, in the words of the internal model.

https://gateway-api.sigs.k8s.io/reference/spec/#tlsroute
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from mesh_lab.controlplane.model.gatewayapi.connectionroutes import ConnectionRule
from mesh_lab.controlplane.model.virtualservice import RouteDestination
from mesh_lab.controlplane.xds.gatewayapi.backends import NOWHERE, Backends
from mesh_lab.controlplane.xds.gatewayapi.sources import Verdict


class Read(NamedTuple):
    """Where the connections of a route go, and what of its references leads nowhere."""

    shares: tuple[RouteDestination, ...] = ()
    refused: Verdict | None = None
    problems: tuple[Verdict, ...] = ()


def read(rules: Iterable[ConnectionRule], backends: Backends) -> Read:
    """The first rule counts: a connection has nothing by which a second could be chosen.

    The share of a backend that is none is closed at once.
    """
    found = list(rules)
    if len(found) > 1:
        text = "rules: a route of connections has one rule, since nothing chooses between two"
        return Read(refused=Verdict("UnsupportedValue", text))
    shares: list[RouteDestination] = []
    problems: list[Verdict] = []
    for ref in found[0].backend_refs if found else ():
        backend = backends.find(ref)
        if backend.problem is not None:
            problems.append(backend.problem)
        if ref.weight:
            shares.append(RouteDestination(destination=backend.destination or NOWHERE, weight=ref.weight))
    return Read(tuple(shares or [RouteDestination(destination=NOWHERE, weight=1)]), problems=tuple(problems))
