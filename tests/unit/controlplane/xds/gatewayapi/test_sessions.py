"""`sessionPersistence`: a client's requests stay with one endpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from envoy.extensions.filters.http.stateful_session.v3.stateful_session_pb2 import StatefulSessionPerRoute
from envoy.extensions.http.stateful_session.cookie.v3.cookie_pb2 import CookieBasedSessionState
from envoy.extensions.http.stateful_session.header.v3.header_pb2 import HeaderBasedSessionState

from mesh_lab.controlplane.xds.typeurls import RDS
from tests.unit.controlplane.cluster import Cluster
from tests.unit.controlplane.envoy import message, static, validate
from tests.unit.controlplane.xds.gatewayapi.objects import edge, made, of_parent, route, rule, sent, to

FILTER = "envoy.filters.http.stateful_session"


def asking(*backends: dict[str, Any], **session: Any) -> Cluster:
    return edge().add("HTTPRoute", route("r", rule(*backends or (to("reviews"),), sessionPersistence=session)))


def state(cluster: Cluster) -> Any:
    """What the gateway's route says of sessions."""
    (routes,) = sent(cluster)[RDS].values()
    (host,) = message(routes).virtual_hosts
    own = StatefulSessionPerRoute.FromString(host.routes[0].typed_per_filter_config[FILTER].value)
    return own.stateful_session.session_state


def cookie(cluster: Cluster) -> Any:
    return CookieBasedSessionState.FromString(state(cluster).typed_config.value).cookie


def test_a_cookie_keeps_a_client_with_its_endpoint(tmp_path: Path) -> None:
    cluster = asking(sessionName="mine")
    found = cookie(cluster)
    assert (found.name, found.path, found.HasField("ttl")) == ("mine", "/", False)
    validate(static(sent(cluster)), tmp_path)


def test_a_permanent_cookie_has_its_time() -> None:
    found = cookie(asking(absoluteTimeout="1h", cookieConfig={"lifetimeType": "Permanent"}))
    assert found.ttl.seconds == 3600
    assert found.name.startswith("mesh-lab-session-")


def test_sessions_of_two_backends_have_two_names() -> None:
    assert cookie(asking(to("reviews"))).name != cookie(asking(to("ratings"))).name


def test_a_header_does_the_same() -> None:
    found = state(asking(type="Header", sessionName="x-mine"))
    assert found.name == "envoy.http.stateful_session.header"
    assert HeaderBasedSessionState.FromString(found.typed_config.value).name == "x-mine"


def test_calls_have_sessions_too() -> None:
    spec = {"parentRefs": [{"name": "edge"}], "rules": [rule(to("reviews"), sessionPersistence={"sessionName": "c"})]}
    assert cookie(edge().add("GRPCRoute", made("g", spec))).name == "c"


@pytest.mark.parametrize(
    "cluster",
    [
        asking(to("reviews"), to("ratings"), sessionName="s"),
        asking(absoluteTimeout="1h"),
        asking(type="Header", absoluteTimeout="1h"),
        asking(type="Header", sessionName="bad name"),
        asking(sessionName="a;b"),
        asking(type="Header", sessionName=":path"),
        asking(type="Header", sessionName="x-mine\n"),
        asking(absoluteTimeout="soon", cookieConfig={"lifetimeType": "Permanent"}),
    ],
)
def test_what_the_proxy_cannot_keep_is_refused(cluster: Cluster) -> None:
    assert of_parent(cluster, "HTTPRoute", "r")["Accepted"] == ("False", "UnsupportedValue")
